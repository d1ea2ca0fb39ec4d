// Starts three processes behind nginx: `npm run start:production`. SIGHUP restarts one after the other.
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startCluster } from './cluster.js'

const port = process.env['PORT'] ?? '8080'
const environment = {
  DATABASE_URL: 'postgres://postgres@127.0.0.1:5432/test',
  REDIS_URL: 'redis://127.0.0.1:6379',
  PUBLIC_URL: `http://127.0.0.1:${port}`,
  USERS_SECRETS: randomBytes(48).toString('base64url'), // set it in a deployment: a new secret ends all JWTs
  ...process.env
}

const cli = join(import.meta.dirname, '../../lib/cli/main.js')
const config = join(import.meta.dirname, 'users.config.js')
const { status } = spawnSync(process.execPath, [cli, 'migrate', '--config', config], {
  env: environment,
  stdio: 'inherit'
})
if (status !== 0) process.exit(1)

const folder = mkdtempSync(join(tmpdir(), 'fastify-users-nginx-'))
const cluster = await startCluster({ size: 3, listen: `127.0.0.1:${port}`, folder, environment })
console.log(`http://127.0.0.1:${port} is served by ${cluster.members.length} processes.`)
console.log(`Restart them one after the other: kill -HUP ${process.pid}`)

let work = Promise.resolve()
process.on('SIGHUP', () => {
  work = work.then(async () => {
    await cluster.restart()
    console.log('All processes are new.')
  })
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    work = work.then(async () => {
      await cluster.stop()
      rmSync(folder, { recursive: true })
      process.exit()
    })
  })
}
