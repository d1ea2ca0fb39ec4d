import { isIP } from 'node:net'
import { FST_USERS_INVALID_OPTION } from '../../feature/index.js'
import type { SessionDevice } from './contracts.js'
import { IP_MAX_LENGTH, USER_AGENT_MAX_LENGTH } from './model.js'

type Bowser = (typeof import('bowser'))['default']

const MAPPED_IPV4 = /^::ffff:(?=\d+\.)/i
const UNKNOWN: SessionDevice = { browser: null, system: null, kind: null }

/** Describes the devices of sessions. */
export type DescribeDevice = (userAgent: string | null) => SessionDevice

/** Loads the package `bowser`. Throws `FST_USERS_INVALID_OPTION` if it is missing. */
export async function loadDevices (): Promise<DescribeDevice> {
  const { default: bowser } = await import('bowser').catch((cause: unknown) => {
    const reason = 'sessions() needs the package bowser; run `npm install bowser`'
    throw FST_USERS_INVALID_OPTION(['features', reason], { cause })
  })
  return createDescription(bowser)
}

/** Returns only names that the package knows: the text of the header itself comes from the client. */
function createDescription (bowser: Bowser): DescribeDevice {
  const browsers = new Set(Object.values(bowser.BROWSER_MAP))
  const systems = new Set(Object.values(bowser.OS_MAP))
  const kinds = new Set(Object.values(bowser.PLATFORMS_MAP))
  const known = (names: ReadonlySet<string>, name: string | undefined): string | null =>
    name !== undefined && names.has(name) ? name : null
  return (userAgent) => {
    if (userAgent === null || userAgent === '') return UNKNOWN
    const { browser, os, platform } = bowser.parse(userAgent)
    return {
      browser: known(browsers, browser.name),
      system: known(systems, os.name),
      kind: known(kinds, platform.type)
    }
  }
}

/** Returns the first characters of a `User-Agent` header without control characters; null if there are none. */
export function cleanUserAgent (header: string | undefined): string | null {
  const text = header?.slice(0, USER_AGENT_MAX_LENGTH).replace(/\p{Cc}/gu, '').toWellFormed() ?? ''
  return text === '' ? null : text
}

/** Returns an IP address, an IPv4 one in its own form; null for other text. */
export function cleanIp (ip: string | undefined): string | null {
  return ip === undefined || ip.length > IP_MAX_LENGTH || isIP(ip) === 0 ? null : ip.replace(MAPPED_IPV4, '')
}
