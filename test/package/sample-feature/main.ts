import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import swagger from '@fastify/swagger'
import Database from 'better-sqlite3'
import Fastify from 'fastify'
import users, {
  argon2Passwords,
  authenticate,
  bearerTransport,
  errorTable,
  jwtStrategy,
  usersOpenapi,
  type UsersOptions
} from 'fastify-users'
import { sqlite } from 'fastify-users/sqlite'
import { pins } from './pins/index.js'

// Runs the feature of the folder pins against the installed package, and prints what happened as JSON.

const PASSWORD = 'guinevere-1'
const EMAIL = 'arthur@camelot.bt'
const results: Record<string, unknown> = {}

const optionsWith = (features: UsersOptions['features'] = []): UsersOptions => ({
  adapter: sqlite('app.sqlite'),
  secret: process.env['USERS_SECRET'] ?? '',
  passwords: argon2Passwords({ memoryCost: 8, timeCost: 1, insecureFastHashing: true }),
  limits: false,
  backends: [{ name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 3600 }) }],
  features
})

// a database that an earlier version of the feature has created
const earlier = Fastify()
await earlier.register(users, optionsWith())
await earlier.ready()
const { id } = await earlier.users.create({ email: EMAIL, password: PASSWORD })
const hash = await optionsWith().passwords?.hash('314159')
await earlier.close()
const database = new Database('app.sqlite')
database.exec('CREATE TABLE pin (id VARCHAR(64) NOT NULL PRIMARY KEY, user_id CHAR(36) NOT NULL REFERENCES user (id) ON DELETE CASCADE, code VARCHAR(1024) NOT NULL)')
database.prepare('INSERT INTO pin SELECT id, id, ? FROM user').run(hash)

writeFileSync('users.config.js', `
  import { bearerTransport, jwtStrategy } from 'fastify-users'
  import { sqlite } from 'fastify-users/sqlite'
  import { pins } from './pins/index.js'
  export default {
    adapter: sqlite('app.sqlite'),
    secret: process.env.USERS_SECRET,
    backends: [{ name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 3600 }) }],
    features: [pins()]
  }`)
const migrate = (...args: string[]): string =>
  execFileSync(process.execPath, ['node_modules/fastify-users/dist/lib/cli/main.js', 'migrate', ...args], { encoding: 'utf8' })
results['migrate'] = migrate()
results['upgraded'] = database.prepare('SELECT hash IS NOT NULL AS hash, digits FROM pin').all()
database.close()

const options = optionsWith([pins()])
const { openapi, transformObject } = usersOpenapi(options)
const events: string[] = []
const app = Fastify()
await app.register(swagger, { openapi: { ...openapi, info: { title: 'Sample', version: '1' } }, transformObject })
await app.register(users, {
  ...options,
  openapiSecurity: true,
  hooks: {
    onAfterSetPin ({ user }) {
      events.push(user.email)
    }
  }
})
app.get('/vault', { onRequest: authenticate({ pin: true }) }, async () => 'the Grail')
await app.ready()

const post = async (url: string, payload: object): Promise<{ statusCode: number, body: any }> => {
  const reply = await app.inject({ method: 'POST', url, payload })
  return { statusCode: reply.statusCode, body: reply.json() }
}
const codeOf = ({ statusCode, body }: { statusCode: number, body: any }): unknown[] => [statusCode, body.code]
const bearer = ({ body }: { body: any }): { authorization: string } => ({ authorization: `Bearer ${body.access_token}` })
const vault = async (headers: object): Promise<number> =>
  (await app.inject({ url: '/vault', headers: { ...headers } })).statusCode

const pending = await post('/auth/jwt/login', { username: EMAIL, password: PASSWORD })
results['login step'] = [pending.statusCode, pending.body.detail.steps]
const { ticket } = pending.body.detail
results['error code'] = codeOf(await post('/auth/jwt/login/pin', { ticket, pin: '000000' }))
const session = await post('/auth/jwt/login/pin', { ticket, pin: '314159' })
results['guard flag'] = [await vault({}), await vault(bearer(session))]
const me = await app.inject({ url: '/users/me', headers: bearer(session) })
results['reply field'] = me.json<{ has_pin: unknown }>().has_pin
const setPin = await app.inject({ method: 'PUT', url: '/users/me/pin', headers: bearer(session), payload: { pin: '271828' } })
results['event'] = [setPin.statusCode, events]
results['login method'] = [
  codeOf(await post('/auth/pin/login', { email: EMAIL, pin: '314159' })),
  (await post('/auth/pin/login', { email: EMAIL, pin: '271828' })).statusCode
]
const user = await app.users.get(id)
if (user !== null) await app.users.feature('pins').remove(user)
const without = await post('/auth/jwt/login', { username: EMAIL, password: PASSWORD })
results['removed'] = [without.statusCode, await vault(bearer(without))]

const document = app.swagger() as unknown as { paths: Record<string, Record<string, any>> }
results['openapi'] = {
  put: Object.keys(document.paths['/users/me/pin']?.['put'].responses),
  step: Object.keys(document.paths['/auth/jwt/login/pin']?.['post'].responses),
  vault: document.paths['/vault']?.['get']['x-authorization']
}
results['error table'] = errorTable([pins()]).map(({ code }) => code).filter((code) => code.startsWith('FST_USERS_PIN_'))
await app.close()
console.log(JSON.stringify(results))
