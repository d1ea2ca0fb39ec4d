import type { SecurityProfile } from '../../contracts/security-profile.js'
import { isObject } from '../../shared/values.js'
import { type Finding, findingsOrOk } from './finding.js'

const LOOPBACK = /^https?:\/\/(?:localhost|[^/]*\.localhost|127(?:\.\d+){3}|\[::1\])(?::\d+)?(?:\/|$)/

/**
 * Checks the IP addresses and the URL behind a proxy. `server` are the options of `Fastify()` that the config exports,
 * or undefined.
 */
export function checkProxy (server: unknown, { publicUrl }: Pick<SecurityProfile, 'publicUrl'>): readonly Finding[] {
  return [...checkTrustProxy(server, publicUrl), ...checkPublicUrl(publicUrl)]
}

function checkTrustProxy (server: unknown, publicUrl: string | null): readonly Finding[] {
  const about = 'trustProxy'
  if (!isObject(server)) {
    const text =
      'is not known; export the options of Fastify() from the config: export const server = { trustProxy: … }'
    return [{ level: 'warn', about, text }]
  }
  const { trustProxy = false, https, serverFactory } = server
  if (trustProxy === true) {
    const text =
      'is true, so every client chooses the IP address that limits and logs see; ' +
      'set it to the IP address of the proxy'
    return [{ level: 'fail', about, text }]
  }
  const endsTls = https !== undefined || serverFactory !== undefined
  if (trustProxy === false && publicUrl?.startsWith('https:') === true && !endsTls) {
    const text =
      'is off, but publicUrl is https and Fastify serves http; behind a proxy, limits count all clients as one; ' +
      'set it to the IP address of the proxy'
    return [{ level: 'warn', about, text }]
  }
  const text = trustProxy === false ? 'is off: clients connect without a proxy' : 'names the trusted proxies'
  return [{ level: 'ok', about, text }]
}

function checkPublicUrl (publicUrl: string | null): readonly Finding[] {
  const about = 'publicUrl'
  const findings: Finding[] = []
  if (publicUrl === null) {
    findings.push({ level: 'warn', about, text: 'is not set; set it to the URL that browsers open, for links in mails' })
  } else if (publicUrl.startsWith('http:') && !LOOPBACK.test(publicUrl)) {
    const text = `is ${publicUrl}, so passwords and tokens travel in plain text; serve https`
    findings.push({ level: 'fail', about, text })
  }
  return findingsOrOk(about, findings, 'is https, or a URL of this machine')
}
