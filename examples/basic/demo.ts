// Runs the complete flow over the network and prints every request and reply: `npm run demo`.
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildApp, type Mail } from './app.js'
import { createClient } from './client.js'
import { playFlow } from './flow.js'

const folder = await mkdtemp(join(tmpdir(), 'fastify-users-'))
const mails: Mail[] = []
const app = await buildApp({
  file: join(folder, 'users.db'),
  secret: randomBytes(48).toString('base64url'),
  sendMail (mail) {
    mails.push(mail)
    console.log(`   mail to ${mail.to}: your ${mail.purpose} token is ${mail.token.slice(0, 15)}…`)
  }
})
const client = createClient(await app.listen({ host: '127.0.0.1', port: 0 }), console.log)
try {
  await playFlow({ client, users: app.users, mails })
} finally {
  await app.close()
  await rm(folder, { recursive: true })
}

const { steps, differences } = client
for (const difference of differences) console.log(`\nNot as expected: ${difference}`)
console.log(`\n${steps} steps, ${differences.length === 0 ? 'all as expected' : `${differences.length} differences`}`)
process.exitCode = differences.length === 0 ? 0 : 1
