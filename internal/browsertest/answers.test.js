// Dialogs and the pages that answer forms, by the rules of axe-core, and the size of what fingers touch.
import assert from 'node:assert/strict'
import { overflow, scenario, violations, visit } from './scenario.js'

for (const colorScheme of ['light', 'dark']) {
	scenario(`dialogs and answers to forms, ${colorScheme}`, async (s) => {
		s.mayLog = /status of 409/
		const host = await s.host()
		const incident = await host.create(s.org, 'Checkout fails')
		const page = await s.viewer(host, { operator: 1, context: { colorScheme, viewport: { width: 375, height: 800 } } })
		const check = async (name) => {
			assert.deepEqual(await violations(page), [], name)
			assert.equal(await overflow(page), '', name)
		}
		await visit(page, page.root)
		await page.locator('[data-help]').click()
		await check('the dialog of keys')
		await page.keyboard.press('Escape')
		await page.locator('[name=key]').check()
		await page.locator('[data-confirm][value=resolve]').click()
		await page.locator('#confirm[open]').waitFor()
		await check('the dialog of many')
		await page.locator('#confirm [data-close]').click()

		await visit(page, `${page.root}incidents/${incident.identifier}`)
		await page.locator('#comment textarea').fill('jar')
		await page.locator('#comment button').click()
		await page.locator('a', { hasText: 'Edit or delete' }).click()
		await page.locator('#form-delete-comment summary').click()
		await check('the form for a comment')

		await visit(page, `${page.root}incidents/${incident.identifier}`)
		await page.locator('#pause').click()
		await check('a paused page')
		await page.locator('#form-resolve summary').click()
		await page.locator('#form-resolve [name=comment]').fill('my remark')
		await host.on(incident, 'acknowledge', { userId: 'erin' })
		await page.locator('#form-resolve button').click()
		await page.locator('#notice').waitFor()
		assert.equal(await page.locator('#form-resolve [name=comment]').inputValue(), 'my remark')
		await check('a conflict')
		await page.locator('#form-resolve button').click()
		await page.locator('#done').waitFor()
		await check('a form that is done')
	})
}

scenario('what a finger touches has 44 pixels', async (s) => {
	const host = await s.host('-demo')
	const page = await s.viewer(host, {
		org: 'acme', operator: 1, context: { viewport: { width: 375, height: 800 }, hasTouch: true, isMobile: true },
	})
	for (const url of ['', 'incidents/72', 'lanes', 'parked']) {
		await page.goto(page.root + url)
		// In a single step, because the page may replace a region meanwhile.
		const small = await page.evaluate(() =>
			[...document.querySelectorAll('button, summary, select, .tab, nav a, input:not([type=checkbox], [type=radio])')]
				.filter((e) => e.checkVisibility() && e.getBoundingClientRect().height < 44)
				.map((e) => e.outerHTML.slice(0, 100)))
		assert.deepEqual(small, [], url)
	}
})
