// Makes the pages of the console live, and gives them keys.

const { body } = document
const $ = (selector, from = document) => from.querySelector(selector)
const byId = (id) => document.getElementById(id), active = () => document.activeElement
const $$ = (selector, from = document) => [...from.querySelectorAll(selector)]

// say shows a text: for 5 s, or of a kind that stays.
let said
function say(text, kind = '') {
	clearTimeout(said)
	Object.assign($('#status'), { textContent: text, className: kind })
	if (text && !kind) said = setTimeout(say, 5000, '')
}

function clock(date, timeZone = $('html').dataset.zone) {
	try {
		return date.toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit', timeZone, timeZoneName: 'short' })
	} catch { // not a known zone
		return clock(date, 'UTC')
	}
}

// The page asks for itself, and replaces the regions that differ. Trusted Types permit the parser of
// XMLHttpRequest, and it runs no script.

let etag, asOf = new Date(), latest, held, asking, again, lost, ended

const load = () => new Promise((resolve, reject) => {
	const r = new XMLHttpRequest(), onload = () => resolve(r)
	r.open('GET', location.href)
	Object.assign(r, { onload, onerror: reject, ontimeout: reject, responseType: 'document', timeout: 15_000 })
	if (etag) r.setRequestHeader('If-None-Match', etag)
	r.send()
})

async function refresh() {
	again = true
	if (asking) return
	asking = true
	while (again && !ended && !paused) {
		again = false
		try {
			take(await load())
		} catch {
			lose()
		}
	}
	asking = false
}

function take(answer) {
	if (paused) return
	const { status } = answer
	if (status === 401 || status === 200 && answer.response?.body.dataset.viewer !== viewer) {
		return end('You are signed out. Reload the page to sign in.')
	}
	if (status === 404) return end('This page is gone.')
	if (status !== 304 && status !== 200) throw status
	asOf = new Date(answer.getResponseHeader('Date') ?? Date.now())
	if (lost) say('')
	lost = false
	if (status === 304) return
	etag = answer.getResponseHeader('ETag')
	latest = answer.response
	apply()
}

function lose() {
	if (lost || ended || paused) return
	lost = true
	say(`Connection lost. Showing the state of ${clock(asOf)}.`, 'lost')
}

function end(text) {
	ended = true
	disconnect()
	say(text, 'lost')
}

function apply() {
	if (!latest || $('form[data-sent]')) return
	held = pressed || $('dialog[open]')
	if (held) return
	let added = 0
	for (const fresh of $$('[data-region]', latest)) {
		const old = byId(fresh.id)
		if (!old) byId(fresh.previousElementSibling?.id)?.after(fresh.cloneNode(true))
		else if (old.isEqualNode(fresh)) continue
		else if (inUse(old)) held = true
		else added += swap(old, fresh.cloneNode(true))
	}
	for (const form of $$('form[id]')) {
		if (form.closest('[data-region]') || $$('input, textarea, select', form).some(changed)) continue
		const fresh = latest.getElementById(form.id)?.elements
		for (const name of ['version', 'uuid', 'since']) {
			if (fresh?.[name] && form[name]) form[name].value = fresh[name].value
		}
	}
	document.title = latest.title
	if (added) {
		say(`Updated: ${added} new.`)
		markSeen()
	}
	countChosen()
}

function changed(field) {
	if (field.options) return field.selectedIndex !== Math.max(0, [...field.options].findIndex((o) => o.defaultSelected))
	return field.value !== field.defaultValue || field.checked !== field.defaultChecked
}

// inUse reports whether a region must stay as it is.
function inUse(region) {
	const picked = getSelection()
	return region.contains(active()) && active().matches('textarea, select, input:not([type=checkbox])') ||
		!picked.isCollapsed && picked.containsNode(region, true) ||
		$$('input:not([name=key]), textarea, select', region).some(changed)
}

// swap replaces a region, and returns how many entries are new.
function swap(old, fresh) {
	for (const box of $$('[name=key]:checked', old)) {
		const same = $(`[name=key][value="${CSS.escape(box.value)}"]`, fresh)
		if (same) same.checked = true
	}
	for (const details of $$('details[id]', old)) {
		const same = $(`#${details.id}`, fresh)
		if (same) same.open = details.open
	}
	const entries = $$('li[id]', fresh).filter((e) => !byId(e.id))
	entries.forEach((e) => e.classList.add('new'))
	const focus = old.contains(active()) && selectorOf(active())
	const anchor = scrollY > 0 && $$('[id]', old).find((e) => e.getBoundingClientRect().bottom > 0)
	const top = anchor && anchor.getBoundingClientRect().top
	old.replaceWith(fresh)
	if (focus) $(focus)?.focus({ preventScroll: true })
	const same = anchor && byId(anchor.id)
	if (same) scrollBy({ top: same.getBoundingClientRect().top - top, behavior: 'instant' })
	return entries.length
}

function selectorOf(element) {
	const near = `#${CSS.escape(element.closest('[id]').id)}`
	return element.id ? near : `${near} ${element.localName}` + ['href', 'name', 'value'].filter((a) => element.hasAttribute(a))
		.map((a) => `[${a}="${CSS.escape(element.getAttribute(a))}"]`).join('')
}

addEventListener('focusout', () => held && setTimeout(apply))

// No region is replaced during a press: its click would be lost. A release may be missed.
let pressed
function press(event) {
	clearTimeout(pressed)
	pressed = event?.type.endsWith('down') && setTimeout(press, 10_000)
	if (!pressed && held) setTimeout(apply)
}
onkeydown = onkeyup = onpointerdown = onpointerup = onpointercancel = press

// A visible page has a stream, which says when to ask. Without streams the page asks every 10 s.

let source, retry, ticks, failures = 0, paused
const { live, page, stream, viewer } = body.dataset

function connect() {
	disconnect()
	if (document.hidden || paused || ended || !live) return
	ticks = setInterval(refresh, live === 'sse' ? 60_000 : 10_000)
	if (live !== 'sse') return refresh()
	source = new EventSource(stream)
	source.onopen = () => {
		failures = 0
		refresh()
	}
	source.addEventListener('change', refresh)
	source.addEventListener('signin', refresh)
	source.onerror = () => {
		source.close()
		refresh()
		retry = setTimeout(connect, Math.min(1000 * 2 ** failures++, 10_000) * (0.5 + Math.random() / 2))
	}
}

function disconnect() {
	source?.close()
	clearTimeout(retry)
	clearInterval(ticks)
}

onoffline = () => {
	connect()
	lose()
}
ononline = connect
onpagehide = disconnect
onpageshow = (event) => {
	for (const form of document.forms) delete form.dataset.sent
	if (event.persisted) connect()
}
document.onvisibilitychange = () => {
	connect()
	markSeen()
}

const pause = $('#pause')
pause.hidden = !live
pause.onclick = () => {
	paused = !paused
	lost = false
	pause.setAttribute('aria-pressed', paused)
	say(paused ? `Paused. Showing the state of ${clock(asOf)}.` : '', paused && 'paused')
	connect()
}

function markSeen() {
	if (page !== 'incident' || !live || document.hidden) return
	fetch(`${location.pathname}/seen`, { method: 'POST', body: new URLSearchParams() }).catch(() => {})
}

// Forms. A form is sent once, and what is done to many incidents is confirmed.

addEventListener('submit', (event) => {
	const form = event.target
	if (event.defaultPrevented || form.method !== 'post') return
	if (form.dataset.sent) return event.preventDefault()
	form.dataset.sent = true
	setTimeout(() => delete form.dataset.sent, 10_000)
})

const chosen = () => $$('[name=key]:checked')
const count = (n) => `${n} ${n === 1 ? 'incident' : 'incidents'}`

function countChosen() {
	const line = $('#count')
	if (line) line.textContent = `${count(chosen().length)} chosen`
}

onchange = countChosen

document.addEventListener('submit', (event) => {
	const dialog = $('#confirm'), button = event.submitter
	if (!dialog || !button?.matches('[data-confirm]')) return
	event.preventDefault()
	if (!chosen().length) return say('Choose incidents first.')
	for (const yes of $$('[name=action]', dialog)) {
		yes.hidden = yes.value !== button.value
		if (!yes.hidden) $('[data-verb]', dialog).textContent = yes.textContent
	}
	$('[data-count]', dialog).textContent = count(chosen().length)
	dialog.onclose = apply
	dialog.showModal()
})

addEventListener('click', (event) => {
	event.target.closest('[data-close]')?.closest('dialog').close()
	const link = event.target.closest('a[data-copy]')
	if (!link || !navigator.clipboard || event.ctrlKey || event.metaKey || event.shiftKey) return
	event.preventDefault()
	const text = fetch(link.href).then(async (a) => a.ok ? new Blob([await a.text()], { type: 'text/plain' }) : Promise.reject())
	navigator.clipboard.write([new ClipboardItem({ 'text/plain': text })])
		.then(() => say('Copied as Markdown.'), () => location.assign(link.href))
})

// Keys act on the elements with the attribute data-key. The viewer can switch them off.

function stored(value) {
	try {
		return value ? localStorage['incident-keys'] = value : localStorage['incident-keys']
	} catch { /* holds for this page */ }
}
let on = stored() !== 'off'

Object.assign($('[data-help]'), { hidden: false, onclick: showHelp })

function showHelp() {
	$('#keys-on').setAttribute('aria-pressed', on)
	$('#keys').showModal()
}

$('#keys-on').onclick = (event) => {
	stored((on = !on) ? 'on' : 'off')
	event.target.setAttribute('aria-pressed', on)
}

function move(by) {
	const links = $$('.row a.open'), row = active().closest('.row')
	links[row ? links.indexOf($('a.open', row)) + by : 0]?.focus()
}

function act(key) {
	const box = active().closest('.row')?.querySelector('[name=key]')
	const target = $(`[data-key="${CSS.escape(key)}"]`)
	if (key === '?') showHelp()
	else if (key === 'j') move(1)
	else if (key === 'k') move(-1)
	else if (key === 'x') box?.click()
	else if (!target) return false
	else if (target.matches('input, textarea')) target.focus()
	else if (target.matches('summary')) {
		target.parentNode.open = true
		$('button', target.parentNode).focus()
	} else {
		if (!chosen().length) box?.click()
		target.click()
	}
	return true
}

addEventListener('keydown', (event) => {
	if (!on || event.defaultPrevented || event.isComposing || event.ctrlKey || event.altKey || event.metaKey ||
		event.key.length > 1 || event.target.closest('textarea, select, input:not([type=checkbox]), dialog')) return
	if (act(event.key)) event.preventDefault()
})

countChosen()
connect()
markSeen()
