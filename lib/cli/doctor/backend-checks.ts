import type { FastifyInstance } from 'fastify'
import type { Backend } from '../../contracts/backend.js'
import type { Settings } from '../../contracts/settings.js'
import { FST_USERS_STORE_UNAVAILABLE } from '../../errors.js'
import { generateOpaqueToken } from '../../tokens/index.js'
import { messageOf } from '../arguments.js'
import { type Finding, findingsOr, withinTime } from './finding.js'

const PATIENCE_MS = 10_000
const LOCAL = /^(?:localhost|.*\.localhost|127(?:\.\d+){3}|\[::1\])$/

/** A cookie as a browser gets it. */
export interface SentCookie {
  readonly name: string
  readonly attributes: ReadonlyMap<string, string>
}

/** Makes each backend's login reply, and looks at the cookies in it. Called before the application is ready. */
export function prepareCookies (app: FastifyInstance): (backend: Backend) => Promise<readonly SentCookie[]> {
  const url = `/${generateOpaqueToken()}`
  app.get<{ Querystring: { backend: string } }>(url, (request, reply) =>
    app.users.backends.get(request.query.backend)?.transport.sendLogin(reply, { token: 'token', lifetimeSeconds: 60 })
  )
  return async ({ name }) => {
    const { headers } = await app.inject({ url, query: { backend: name } })
    return [headers['set-cookie'] ?? []].flat().map(readCookie)
  }
}

/** Asks the store of a backend's tokens for one that does not exist. */
export async function checkStrategy ({ name, strategy }: Backend): Promise<readonly Finding[]> {
  const about = `backend ${name}`
  try {
    await withinTime(
      PATIENCE_MS,
      () => FST_USERS_STORE_UNAVAILABLE(),
      async () =>
        await strategy.readToken(generateOpaqueToken(), {
          request: null,
          users: { parseId: () => null, getRow: () => null }
        })
    )
    return [{ level: 'ok', about, text: 'checks tokens' }]
  } catch (error) {
    return [
      {
        level: 'fail',
        about,
        text: `${messageOf(error)}; start the store of its tokens, or correct the strategy's options`
      }
    ]
  }
}

/** Whether browsers keep a cookie at the address of the application. */
export function checkCookie (
  backend: string,
  { name, attributes }: SentCookie,
  { publicOrigin }: Settings
): readonly Finding[] {
  const about = `backend ${backend}`
  if (publicOrigin === null) {
    return [
      {
        level: 'warn',
        about,
        text: 'publicUrl is not set: behind a proxy that changes the Host header, what cookie sessions change is refused; set it to the address in the browser'
      }
    ]
  }
  const { protocol, hostname } = new URL(publicOrigin)
  const findings: Finding[] = []
  const isSecure = attributes.has('secure')
  const domain = attributes.get('domain')?.replace(/^\./, '').toLowerCase()
  if (isSecure && protocol === 'http:' && !LOCAL.test(hostname)) {
    findings.push({
      level: 'fail',
      about,
      text: `the cookie "${name}" is Secure, and publicUrl is ${publicOrigin}: browsers drop it; serve https, or for development set cookieTransport({ secure: false })`
    })
  }
  if (!isSecure && protocol === 'https:') {
    findings.push({
      level: 'warn',
      about,
      text: `the cookie "${name}" is not Secure, and publicUrl is https: leave out cookieTransport({ secure: false })`
    })
  }
  if (domain !== undefined && domain !== hostname && !hostname.endsWith(`.${domain}`)) {
    findings.push({
      level: 'fail',
      about,
      text: `the cookie "${name}" is for the domain ${domain}, which publicUrl ${publicOrigin} is not in: browsers drop it; correct the domain, or leave it out`
    })
  }
  return findingsOr(about, findings, `browsers keep the cookie "${name}" at ${publicOrigin}`)
}

function readCookie (header: string): SentCookie {
  const [pair = '', ...rest] = header.split(';').map((part) => part.trim())
  const attributes = rest.map((part): [string, string] => {
    const [name = '', value = ''] = part.split('=')
    return [name.toLowerCase(), value]
  })
  return { name: pair.split('=', 1).join(), attributes: new Map(attributes) }
}
