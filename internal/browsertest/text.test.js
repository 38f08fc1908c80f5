// Texts as they come: in other zones, enlarged, long, and hostile.
import assert from 'node:assert/strict'
import { overflow, scenario, violations, visit } from './scenario.js'

// cut returns the elements whose text is cut off.
const cut = (page) => page.evaluate(() => [...document.querySelectorAll('body *')].filter((e) => {
	const style = getComputedStyle(e)
	return style.overflow !== 'visible' && style.display !== 'inline' && e.clientWidth > 1 && !e.matches('textarea, input, select, svg, svg *, .scroll') &&
		(e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1)
}).map((e) => `${e.localName}#${e.id}.${e.className}`))

scenario('times are in the zone of the viewer', async (s) => {
	const host = await s.host()
	const started = [
		['Asia/Kolkata', '2026-01-15T20:00:00Z', /^16 Jan( 2026)?, 01:30 IST$/],
		['Europe/Berlin', '2026-03-29T00:30:00Z', /^29 Mar( 2026)?, 01:30 CET$/], // before the clocks change
		['Europe/Berlin', '2026-03-29T01:30:00Z', /^29 Mar( 2026)?, 03:30 CEST$/],
		['Europe/Berlin', '2025-10-26T00:30:00Z', /^26 Oct 2025, 02:30 CEST$/], // and again
		['Europe/Berlin', '2025-10-26T01:30:00Z', /^26 Oct 2025, 02:30 CET$/],
	]
	for (const [zone, dateStarted, text] of started) {
		const incident = await host.create(s.org, dateStarted, { dateStarted })
		const page = await s.viewer(host, { zone, context: { timezoneId: 'America/New_York' } })
		for (const url of ['', `incidents/${incident.identifier}`]) {
			await page.goto(page.root + url)
			const time = page.locator(`time[datetime="${dateStarted}"]`).first()
			assert.match(await time.textContent(), text)
			assert.equal(await time.getAttribute('title'), `${dateStarted.slice(0, 10)} ${dateStarted.slice(11, 19)} UTC`)
		}
	}
})

// A window of 1280 pixels has 640 at 200 %, and 320 at 400 %.
for (const [percent, width] of [[200, 640], [400, 320]]) {
	scenario(`nothing is cut at ${percent} %`, async (s) => {
		const host = await s.host('-demo')
		const page = await s.viewer(host, {
			org: 'acme', operator: 1, context: { viewport: { width, height: 400 }, deviceScaleFactor: percent / 100 },
		})
		for (const url of ['', 'incidents/70', 'incidents/72', 'lanes', 'parked', 'health']) {
			await visit(page, page.root + url)
			await page.evaluate(() => { for (const d of document.querySelectorAll('details')) d.open = true })
			assert.equal(await overflow(page), '', url)
			assert.deepEqual(await cut(page), [], url)
		}
	})
}

scenario('a larger font of the browser enlarges the pages', async (s) => {
	const host = await s.host('-demo')
	const page = await s.viewer(host, { org: 'acme' })
	const session = await page.context().newCDPSession(page)
	await page.goto(page.root)
	const before = await page.evaluate(() => parseFloat(getComputedStyle(document.body).fontSize))
	await session.send('Page.setFontSizes', { fontSizes: { standard: 32 } })
	await page.goto(page.root)
	const after = await page.evaluate(() => parseFloat(getComputedStyle(document.body).fontSize))
	assert.equal(after, 2 * before)
	assert.equal(await overflow(page), '')
})

const hostile = {
	markup: `<script>alert(1)</script><img src=x onerror="alert(2)"></bdi></h1><style>*{display:none}</style>{{.}}`,
	override: 'Payments \u202Eesrever ni\u202C and \u2067isolated',
	word: 'W'.repeat(1000),
	lines: 'One\nTwo\tThree',
	stacked: 'Z\u0351\u036B\u0343\u036A\u0302\u036B\u033D'.repeat(30),
}

for (const [name, title] of Object.entries(hostile)) {
	scenario(`a hostile title: ${name}`, async (s) => {
		const host = await s.host()
		const projects = Array.from({ length: 100 }, (_, n) => `${title.slice(0, 30).replace(/[\n\t]/g, ' ')} ${n}`)
		const incident = await host.create(s.org, title, { projects, labels: { region: title.slice(0, 1000), link: 'javascript:alert(3)' } })
		for (const text of [title, `${title}\n`.repeat(Math.floor(65_536 / (Buffer.byteLength(title) + 1))), 'W'.repeat(65_536)]) {
			await host.on(incident, 'comment', { userId: title.slice(0, 80).replace(/[\n\t]/g, ' '), comment: text })
		}
		const page = await s.viewer(host, { context: { viewport: { width: 375, height: 800 } } })
		page.on('dialog', () => s.errors.push('a script of a text ran'))
		await visit(page, page.root)
		assert.equal(await overflow(page), '')
		assert.deepEqual(await violations(page), [])
		await page.locator('a.open').click()
		await page.waitForURL(/incidents\/\d+$/)
		assert.equal(await page.locator('h1').textContent(), title)
		assert.equal(await page.locator('a[href^="javascript"]').count(), 0)
		assert.equal(await overflow(page), '')
		assert.deepEqual(await violations(page), [])
		// A title in another direction turns nothing around it.
		assert.equal(await page.locator('h1 > bdi').count(), 1)
	})
}
