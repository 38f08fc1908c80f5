// Scenarios start hosts and open their pages in a browser. A scenario fails if a page has logged an
// error, a violation of its Content-Security-Policy included.
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { here, Host, launch, signIn } from './host.js'

export const screenshots = path.join(here, 'screenshots')
const axe = await readFile(path.join(here, 'node_modules/axe-core/axe.min.js'), 'utf8')

let browser
before(async () => { browser = await launch() })
after(() => browser?.close()) // undefined if it did not start

// The types of activities that the tests count.
export const statusChange = 2, comment = 3, acknowledged = 100

// hosts are the hosts that the scenarios of a file share, by their arguments.
const hosts = new Map()
after(() => Promise.all([...hosts.values()].map(async (h) => (await h).kill())))

let organizations = 0

// Scenario is what a test has: hosts, viewers, and an organization of its own.
class Scenario {
	constructor(name) {
		this.name = name
		this.org = `org-${process.pid}-${++organizations}`
		this.errors = []
		this.cleanups = []
		this.mayLog = /^$/
	}

	// host returns a host that other scenarios use, too.
	host(...args) {
		const id = args.join(' ')
		if (!hosts.has(id)) hosts.set(id, Host.start(...args))
		return hosts.get(id)
	}

	// ownHost returns a host that the scenario may kill.
	async ownHost(...args) {
		const host = await Host.start(...args)
		this.cleanups.push(() => host.kill())
		return host
	}

	async folder() {
		const folder = await mkdtemp(path.join(tmpdir(), 'browsertest-'))
		this.cleanups.unshift(() => rm(folder, { recursive: true, force: true }))
		return folder
	}

	// viewer opens a browser profile of a user and returns its page.
	async viewer(host, { context: options = {}, ...viewer } = {}) {
		const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options })
		this.cleanups.push(() => context.close())
		await context.addInitScript(countRequests)
		await signIn(context, host, { user: 'dana', org: this.org, zone: 'UTC', ...viewer })
		context.on('page', (page) => this.watch(page))
		const page = await context.newPage()
		page.setDefaultTimeout(60_000)
		page.root = host.url
		return page
	}

	watch(page) {
		page.on('console', (m) => { if (m.type() === 'error') this.log(`${m.text()} ${m.location().url}`) })
		page.on('pageerror', (err) => this.log(String(err)))
	}

	log(text) {
		if (!this.mayLog.test(text)) this.errors.push(text)
	}

	async end() {
		for (const cleanup of this.cleanups.reverse()) await cleanup()
		assert.deepEqual(this.errors, [], 'errors of the pages')
	}
}

// scenario declares a test.
export function scenario(name, run) {
	test(name, { timeout: 900_000 }, async () => {
		const s = new Scenario(name)
		try {
			await run(s)
		} catch (err) {
			if (s.errors.length) err.message += `\nerrors of the pages: ${s.errors.join('\n')}`
			s.errors = []
			throw err
		} finally {
			await s.end()
		}
	})
}

// countRequests makes a page count what its script asks: the requests and streams that it began, the requests
// that are open, and the events of streams.
function countRequests() {
	window.asked = { sent: 0, open: 0, events: 0 }
	const { send } = XMLHttpRequest.prototype
	XMLHttpRequest.prototype.send = function (...args) {
		window.asked.sent++
		window.asked.open++
		this.addEventListener('loadend', () => window.asked.open--) // after the script has sent the next, if any
		send.apply(this, args)
	}
	window.EventSource = class extends EventSource {
		constructor(...args) {
			super(...args)
			window.asked.sent++
			this.addEventListener('change', () => window.asked.events++)
		}
	}
}

// sent returns how many requests and streams the script of a page has begun, once no request is open.
export async function sent(page) {
	const { sent } = await until(() => page.evaluate(() => window.asked), ({ open }) => open === 0, 'requests of the page')
	return sent
}

// settled waits until a page is whole, and has the answers to the requests of its beginning: one at once, and one
// after the first event of the stream. Then the page asks only if an incident of its organization changes.
export async function settled(page) {
	await page.waitForLoadState()
	await until(() => page.evaluate(() => ({ live: document.body.dataset.live, ...window.asked })),
		({ live, sent, open, events }) => !live || sent > 0 && open === 0 && (live !== 'sse' || events > 0), 'requests of the page')
}

// farAhead stops the clock of a page a day from now: the time to stop at must still be in the future.
export async function farAhead(page) {
	await page.clock.install({ time: Date.now() })
	await page.clock.pauseAt(Date.now() + 24 * 3_600_000)
}

// visit opens a page, and waits until it is settled.
export async function visit(page, url) {
	await page.goto(url)
	await settled(page)
}

// violations returns what axe-core finds on a settled page, in a line each.
export async function violations(page) {
	await settled(page)
	await page.evaluate(axe)
	const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }))
	return found.violations.flatMap((v) => v.nodes.map((n) => `${v.id}: ${n.target.join(' ')}: ${n.failureSummary}`))
}

// overflow returns how many pixels of a page are to the right of the window, and the elements there.
export function overflow(page) {
	return page.evaluate(() => {
		const width = document.documentElement.clientWidth
		const by = document.documentElement.scrollWidth - width
		if (by <= 0) return ''
		const wide = [...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > width + 1)
		return `${by} px: ${wide.slice(0, 5).map((e) => `${e.tagName}.${e.className}`).join(' ')}`
	})
}

// until waits until get returns what satisfies. It is for states that no page shows.
export async function until(get, satisfies, what, limit = 60_000) {
	const end = Date.now() + limit
	for (;;) {
		const value = await get()
		if (satisfies(value)) return value
		if (Date.now() > end) assert.fail(`${what}: still ${JSON.stringify(value)} after ${limit} ms`)
		await new Promise((resolve) => setTimeout(resolve, 20))
	}
}
