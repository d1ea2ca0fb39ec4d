// Starts the provider and the application: `npm run start:oauth`.
import { randomBytes } from 'node:crypto'
import { readConfig } from '../basic/config.js'
import { buildApp } from './app.js'
import { startProvider } from './provider.js'

const { file, port, secret } = readConfig({ USERS_DB: 'oauth-users.db', ...process.env })
const publicUrl = `http://127.0.0.1:${port}`
const client = { clientId: 'round-table', clientSecret: randomBytes(32).toString('base64url') }
const { issuer, server } = await startProvider({
  port: port + 1,
  ...client,
  redirectUris: [`${publicUrl}/auth/camelot/callback`, `${publicUrl}/auth/associate/camelot/callback`]
})
const app = await buildApp({ file, secret, publicUrl, provider: { issuer, ...client } })
app.addHook('onClose', async () => {
  server.close()
})

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => app.close())
await app.listen({ host: '127.0.0.1', port })
console.log(`Open ${publicUrl} in a browser. Camelot ID, the provider, runs at ${issuer}; users are kept in ${file}.`)
