import type { FastifyInstance } from 'fastify'
import type { Backend } from '../../contracts/backend.js'
import type { Settings } from '../../contracts/settings.js'
import { FST_USERS_STORE_UNAVAILABLE } from '../../errors.js'
import { limitTime } from '../../shared/time-limit.js'
import { generateOpaqueToken } from '../../tokens/index.js'
import { messageOf } from '../error-messages.js'
import { type Finding, findingsOrOk } from './finding.js'

const TIMEOUT_MS = 10_000
const LOCAL = /^(?:localhost|.*\.localhost|127(?:\.\d+){3}|\[::1\])$/

/** A cookie of a login reply. Attribute names are in lower case. */
export interface SentCookie {
  readonly name: string
  readonly attributes: ReadonlyMap<string, string>
}

/**
 * Registers a route that sends login replies. Returns a function that reads the cookies of a backend's login reply.
 * Call it before the application is ready.
 */
export function prepareCookies (app: FastifyInstance): (backend: Backend) => Promise<readonly SentCookie[]> {
  const url = `/${generateOpaqueToken()}`
  app.get<{ Querystring: { backend: string } }>(url, (request, reply) =>
    app.users.backends.get(request.query.backend)?.transport.sendLogin(reply, { token: 'token', lifetimeSeconds: 60 })
  )
  return async ({ name }) => {
    const { headers } = await app.inject({ url, query: { backend: name } })
    return [headers['set-cookie'] ?? []].flat().map(parseSetCookie)
  }
}

/** Checks that a backend's token store answers, by reading a token that does not exist. */
export async function probeStrategy ({ name, strategy }: Backend): Promise<readonly Finding[]> {
  const about = `backend ${name}`
  try {
    const users = { parseId: () => null, getRow: () => null }
    await limitTime(
      async () => await strategy.readToken(generateOpaqueToken(), { request: null, users }),
      TIMEOUT_MS,
      () => FST_USERS_STORE_UNAVAILABLE()
    )
    return [{ level: 'ok', about, text: 'can check tokens' }]
  } catch (error) {
    return [
      {
        level: 'fail',
        about,
        text: `${messageOf(error)}; start the token store, or correct the options of the strategy`
      }
    ]
  }
}

/** Checks that browsers keep a cookie at `publicUrl`. */
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
        text:
          'publicUrl is not set; behind a proxy that changes the Host header, cookie sessions can read but not change ' +
          'data; set it to the URL that browsers open'
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
      text:
        `the cookie "${name}" is Secure but publicUrl is ${publicOrigin}, so browsers drop it; ` +
        'serve https, or set cookieTransport({ secure: false }) in development'
    })
  }
  if (!isSecure && protocol === 'https:') {
    findings.push({
      level: 'warn',
      about,
      text: `the cookie "${name}" is not Secure although publicUrl is https; remove cookieTransport({ secure: false })`
    })
  }
  if (domain !== undefined && domain !== hostname && !hostname.endsWith(`.${domain}`)) {
    findings.push({
      level: 'fail',
      about,
      text:
        `the cookie "${name}" is for the domain ${domain}, which does not contain publicUrl ${publicOrigin}, ` +
        'so browsers drop it; correct or remove the domain'
    })
  }
  return findingsOrOk(about, findings, `browsers keep the cookie "${name}" at ${publicOrigin}`)
}

function parseSetCookie (header: string): SentCookie {
  const [pair = '', ...rest] = header.split(';').map((part) => part.trim())
  const attributes = rest.map((part): [string, string] => {
    const [name = '', value = ''] = part.split('=')
    return [name.toLowerCase(), value]
  })
  return { name: pair.split('=', 1).join(), attributes: new Map(attributes) }
}
