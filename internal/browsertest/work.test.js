// People at work on incidents: with the keyboard alone, without scripts, and at the same time.
import assert from 'node:assert/strict'
import { acknowledged, comment, farAhead, scenario, settled, statusChange, until, visit } from './scenario.js'

const conflict = /status of 409/ // of the page that tells of it

const open = (page, incident) => page.goto(`${page.root}incidents/${incident.identifier}`)
const head = (page, status) => shown(page, page.locator(`#head .status-${status}`))

// shown waits for an element of the page that answers a form, and for the page to be whole: the element may be there
// before the rest of the page, and before its script reads keys.
async function shown(page, element) {
	await element.waitFor()
	await page.waitForLoadState()
}

// answered waits for the page that answers a form, with its text.
const answered = (page, text) => shown(page, page.locator('#done', { hasText: text }))

scenario('the keyboard alone', async (s) => {
	const host = await s.host()
	await host.create(s.org, 'Something else')
	const incident = await host.create(s.org, 'The needle')
	const other = await host.create(s.org, 'Another needle')
	const page = await s.viewer(host)
	const keys = async (...all) => { for (const key of all) await page.keyboard.press(key) }
	await page.goto(page.root)
	await keys('/')
	await page.keyboard.type('needle')
	await keys('Enter')
	await page.waitForURL(/q=needle/)
	await keys('j', 'j')
	assert.equal(await page.evaluate(() => document.activeElement.textContent), `#${incident.identifier} The needle`)
	await keys('k')
	assert.match(await page.evaluate(() => document.activeElement.textContent), /Another needle/)
	await keys('j', 'Enter')
	await page.waitForURL(/incidents\/\d+$/)
	await keys('a', 'Enter')
	await answered(page, 'Acknowledged.')
	await page.locator('#head .acknowledged').waitFor()
	await keys('c')
	await page.keyboard.type('jar')
	await keys('Tab', 'Enter')
	await answered(page, 'The comment is added.')
	await page.locator('blockquote', { hasText: 'jar' }).waitFor()
	await keys('r', 'Enter')
	await answered(page, 'Resolved.')
	await head(page, 'closed')
	assert.equal((await host.activities(incident, acknowledged)).length, 1)
	assert.deepEqual((await host.activities(incident, comment)).map((a) => a.comment), ['jar'])

	// The keys can be switched off, and on again by the button.
	await open(page, other)
	await keys('?')
	await page.locator('#keys[open]').waitFor()
	await page.locator('#keys-on').focus()
	await keys('Space', 'Escape', 'c')
	assert.notEqual(await page.evaluate(() => document.activeElement.localName), 'textarea')
	await page.reload()
	await keys('c')
	assert.notEqual(await page.evaluate(() => document.activeElement.localName), 'textarea')
	await page.locator('[data-help]').focus()
	await keys('Enter')
	await page.locator('#keys-on').focus()
	await keys('Space', 'Escape', 'c')
	assert.equal(await page.evaluate(() => document.activeElement.localName), 'textarea')
	await keys('Control+r')
	await page.waitForLoadState()
	assert.equal((await host.activities(other, statusChange)).length, 0)
})

scenario('without scripts', async (s) => {
	const host = await s.host()
	const incident = await host.create(s.org, 'The needle')
	await host.create(s.org, 'Something else')
	const page = await s.viewer(host, { context: { javaScriptEnabled: false } })
	await page.goto(page.root)
	assert.equal(await page.locator('#pause').isVisible(), false)
	await page.locator('#q').fill('needle')
	await page.locator('#q').press('Enter')
	await page.locator('a.open').click()
	await page.locator('#form-acknowledge summary').click()
	await page.locator('#form-acknowledge button').click()
	await page.locator('#head .acknowledged').waitFor()
	await page.locator('#comment textarea').fill('jar')
	await page.locator('#comment button').click()
	await page.locator('blockquote', { hasText: 'jar' }).waitFor()
	await page.locator('a', { hasText: 'Edit or delete' }).click()
	await page.locator('#edit-comment textarea').fill('jam')
	await page.locator('#edit-comment button').click()
	await page.locator('blockquote', { hasText: 'jam' }).waitFor()
	await page.locator('a', { hasText: 'Edit or delete' }).click()
	await page.locator('#form-delete-comment summary').click()
	await page.locator('#form-delete-comment button').click()
	await shown(page, page.locator('.activity', { hasText: ', deleted' }))
	assert.equal(await page.locator('blockquote', { hasText: 'jam' }).count(), 0)
	await page.locator('#form-resolve summary').click()
	await page.locator('#form-resolve button').click()
	await head(page, 'closed')
	await page.locator('#form-reopen summary').click()
	await page.locator('#form-reopen button').click()
	await page.locator('#form-resolve').waitFor()
	await page.goto(page.root)
	for (const box of await page.locator('[name=key]').all()) await box.check()
	await page.locator('[data-confirm][value=resolve]').click()
	await page.locator('h1', { hasText: 'Resolve 2 incidents?' }).waitFor()
	await page.locator('button[value=resolve]').click()
	await page.locator('.result', { hasText: 'Done.' }).waitFor()
	assert.equal((await host.activities(incident, statusChange)).length, 3)
})

scenario('of two users who resolve at once, one is told', async (s) => {
	s.mayLog = conflict
	const host = await s.host()
	const incident = await host.create(s.org, 'Checkout fails')
	const pages = [await s.viewer(host), await s.viewer(host, { user: 'erin' })]
	for (const page of pages) {
		await open(page, incident)
		await settled(page)
		await page.locator('#pause').click() // neither sees the other before
		await page.locator('#form-resolve summary').click()
		await page.locator('#form-resolve [name=comment]').fill('my remark')
	}
	await Promise.all(pages.map((page) => page.locator('#form-resolve button').click()))
	await Promise.all(pages.map((page) => shown(page, page.locator('#notice, #done'))))
	for (const page of pages) await head(page, 'closed')
	const told = []
	for (const page of pages) {
		if (await page.locator('#notice').count()) told.push(page)
		else assert.match(await page.locator('#done').textContent(), /Resolved/)
	}
	assert.equal(told.length, 1, 'users who are told')
	assert.match(await told[0].locator('#notice').textContent(), /changed meanwhile[^]*(dana|erin) changed the status/)
	assert.equal((await host.activities(incident, statusChange)).length, 1)
})

scenario('forms without TLS', async (s) => {
	s.mayLog = /^The Cross-Origin-Opener-Policy header has been ignored/
	const host = await s.host()
	const incident = await host.create(s.org, 'Checkout fails')
	const page = await s.viewer({ url: host.url.replace('127.0.0.1', 'console.test') })
	await open(page, incident) // from a name that a browser sends no Sec-Fetch-Site to
	await page.locator('#comment textarea').fill('jar')
	await page.locator('#comment button').click()
	await page.locator('blockquote', { hasText: 'jar' }).waitFor()
})

// The answer is held back, so that the viewer sends the form again. The server gets each request.
for (const javaScriptEnabled of [true, false]) {
	scenario(`a form that is sent twice writes once, ${javaScriptEnabled ? 'with' : 'without'} scripts`, async (s) => {
		s.mayLog = /net::ERR_/
		const host = await s.host()
		const incident = await host.create(s.org, 'Checkout fails')
		const page = await s.viewer(host, { context: { javaScriptEnabled } })
		if (javaScriptEnabled) await farAhead(page) // the script lets a form be sent again after 10 s
		await open(page, incident)
		if (javaScriptEnabled) await settled(page) // no region moves the button
		let sent = 0
		await page.route('**/comment', async (route) => {
			assert.equal((await route.fetch({ maxRedirects: 0 })).status(), 303)
			sent++
		})
		await page.locator('#comment textarea').fill('once')
		const box = await page.locator('#comment button').boundingBox()
		const click = () => page.mouse.click(box.x + box.width / 2, box.y + box.height / 2)
		await click()
		await until(() => sent, (n) => n === 1, 'requests')
		await click()
		if (!javaScriptEnabled) await until(() => sent, (n) => n === 2, 'requests')
		const later = await s.viewer(host)
		await open(later, incident)
		assert.equal(await later.locator('blockquote', { hasText: 'once' }).count(), 1)
		assert.equal((await host.activities(incident, comment)).length, 1)
		if (javaScriptEnabled) assert.equal(sent, 1, 'requests')
	})
}

scenario('what is done to many names the count', async (s) => {
	const host = await s.host()
	const incidents = []
	for (let n = 0; n < 4; n++) incidents.push(await host.create(s.org, `Incident ${n}`))
	const page = await s.viewer(host)
	await visit(page, page.root)
	assert.equal(await page.locator('.chosen').isVisible(), false)
	for (const n of [0, 1, 3]) await page.locator(`[name=key][value="${incidents[n].identifier}"]`).check()
	assert.equal(await page.locator('#count').textContent(), '3 incidents chosen')
	const dialog = page.locator('#confirm')
	await page.locator('[data-confirm][value=resolve]').click()
	assert.equal(await dialog.locator('h2').textContent(), 'Resolve 3 incidents?')
	assert.equal(await dialog.locator('button:visible').count(), 2)
	await dialog.locator('[data-close]').click()
	assert.equal((await host.activities(incidents[0], statusChange)).length, 0)
	await page.locator('[data-confirm][value=resolve]').click()
	await dialog.locator('button[value=resolve]').click()
	await page.locator('.result', { hasText: 'Done.' }).waitFor()
	for (const [n, incident] of incidents.entries()) {
		assert.equal((await host.activities(incident, statusChange)).length, n === 2 ? 0 : 1, `changes of incident ${n}`)
	}
})

scenario('an incident is copied as Markdown', async (s) => {
	const host = await s.host()
	const incident = await host.create(s.org, 'Checkout fails')
	const page = await s.viewer(host, { context: { permissions: ['clipboard-read', 'clipboard-write'] } })
	await open(page, incident)
	// The page tells of it for 5 s.
	await Promise.all([page.locator('#status', { hasText: 'Copied as Markdown.' }).waitFor(), page.locator('[data-copy]').click()])
	assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^# .*Checkout fails/)
})
