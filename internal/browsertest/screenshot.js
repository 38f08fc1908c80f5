// Writes docs/console.png: the list of examples/desk, for which .ci/browser has built bin/desk.
import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { here, launch } from './host.js'

const file = fileURLToPath(new URL('../../docs/console.png', import.meta.url))
const folder = await mkdtemp(path.join(tmpdir(), 'desk-'))
const desk = spawn(path.join(here, 'bin/desk'), ['-db', path.join(folder, 'desk.db'), '-listen', '127.0.0.1:0'],
	{ stdio: ['ignore', 'pipe', 'inherit'] })
const ended = new Promise((resolve) => desk.on('exit', resolve))

// address returns the URL that desk prints once it serves.
async function address() {
	for await (const line of createInterface(desk.stdout)) {
		const [url] = line.match(/^Serving on (http:\/\/\S+\/)/)?.slice(1) ?? []
		if (url) {
			return url
		}
	}
	throw new Error('desk ended')
}

const browser = await launch()
try {
	const url = await address()
	const context = await browser.newContext({ viewport: { width: 1120, height: 700 }, colorScheme: 'light' })
	const page = await context.newPage()
	await page.goto(url, { waitUntil: 'load' })
	await page.getByRole('button', { name: 'robin' }).click()
	await page.goto(`${page.url()}?status=all`, { waitUntil: 'load' })
	await mkdir(path.dirname(file), { recursive: true })
	await page.screenshot({ path: file })
	console.log(file)
} finally {
	await browser.close()
	desk.kill()
	await ended
	await rm(folder, { recursive: true })
}
