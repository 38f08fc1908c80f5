// Each page in both colour schemes, on a desk and on a phone: no violation of the rules of axe-core, no error,
// no scrolling to the side. The pictures are in screenshots/.
import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { overflow, scenario, screenshots, violations, visit } from './scenario.js'

const pages = {
	list: '',
	'list-empty': '?q=nothing+is+called+so',
	'list-all': '?status=all&from=2026-01-01&project=api&label=region%3Dus-east',
	'list-refused': '?label=no+equals+sign',
	'incident-acknowledged': 'incidents/70',
	'incident-resolved': 'incidents/67',
	incident: 'incidents/72',
	unknown: 'incidents/9999',
	lanes: 'lanes',
	'lanes-rules': 'lanes?by=rule',
	parked: 'parked',
	health: 'health',
}

await mkdir(screenshots, { recursive: true })
for (const scheme of ['light', 'dark']) {
	for (const width of [1280, 375]) {
		scenario(`pages, ${scheme}, ${width} px`, async (s) => {
			const host = await s.host('-demo')
			s.mayLog = /the server responded with a status of 40[04]/ // of the pages of errors
			const page = await s.viewer(host, {
				org: 'acme', operator: 1, zone: 'Europe/Berlin',
				context: { colorScheme: scheme, viewport: { width, height: 800 } },
			})
			for (const [name, url] of Object.entries(pages)) {
				await visit(page, page.root + url)
				await page.screenshot({ path: path.join(screenshots, `${name}-${scheme}-${width}.png`), fullPage: true })
				assert.deepEqual(await violations(page), [], name)
				assert.equal(await overflow(page), '', name)
			}
		})
	}
}
