// Hosts are processes of the program in host/, and viewers the users of its console.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createServer } from 'node:net'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'

export const here = path.dirname(fileURLToPath(import.meta.url))

// launch starts Chromium. A second attempt follows a failed one, because a busy machine may end it early.
export async function launch() {
	try {
		return await launchOnce()
	} catch (err) {
		console.error(`Chromium did not start, and is started again: ${err.message}`)
		return launchOnce()
	}
}

function launchOnce() {
	return chromium.launch({
		executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
		timeout: 120_000,
		args: ['--host-resolver-rules=MAP *.test 127.0.0.1', ...process.getuid?.() === 0 ? ['--no-sandbox'] : []],
	})
}

// Host is a process that serves the console.
export class Host {
	static async start(...args) {
		const host = new Host()
		host.process = spawn(path.join(here, 'bin/host'), args, { stdio: ['ignore', 'pipe', 'pipe'] })
		host.log = ''
		host.process.stderr.on('data', (text) => { host.log += text })
		host.ended = new Promise((resolve) => host.process.on('exit', resolve))
		const line = await Promise.race([
			new Promise((resolve) => createInterface(host.process.stdout).once('line', resolve)), host.ended])
		assert.match(String(line), /^http/, `the host ended: ${host.log}`)
		host.url = line
		return host
	}

	// kill ends the process as a crash does.
	async kill() {
		this.process.kill('SIGKILL')
		await this.ended
	}

	// call calls the Manager of the process: see host/control.go.
	async call(name, input = {}) {
		const answer = await fetch(new URL(`/control/${name}`, this.url), { method: 'POST', body: JSON.stringify(input) })
		const text = await answer.text()
		assert.equal(answer.status, 200, `${name}: ${text}`)
		return JSON.parse(text)
	}

	create(org, title, more = {}) { return this.call('create', { organizationId: org, title, ...more }) }

	on(incident, name, input) {
		return this.call(name, { Key: { organizationId: incident.organizationId, identifier: incident.identifier }, Input: input })
	}

	async activities(incident, type) {
		const page = await this.on(incident, 'activities', { limit: 100 })
		return page.activities.filter((a) => type === undefined || a.type === type)
	}
}

// freePort returns a port below the range that systems use for outgoing connections, so that none takes
// it while a host restarts.
export async function freePort() {
	for (;;) {
		const port = 15_000 + Math.floor(Math.random() * 15_000)
		const server = createServer()
		const isFree = await new Promise((resolve) => {
			server.once('error', () => resolve(false))
			server.listen(port, '127.0.0.1', () => resolve(true))
		})
		if (!isFree) continue
		await new Promise((resolve) => server.close(resolve))
		return port
	}
}

// signIn makes the pages of a browser's context those of a viewer: see viewerOf in host/viewer.go.
export async function signIn(context, host, viewer) {
	const query = new URLSearchParams(viewer).toString()
	await context.addCookies([{ name: 'viewer', value: encodeURIComponent(query), url: host.url }])
}
