import { lookup, type LookupOptions } from 'node:dns'
import { BlockList, isIP, isIPv4, type LookupFunction } from 'node:net'
import { providerFailed } from './provider-errors.js'

/** Non-public IPv4 networks (IANA Special-Purpose Address Registry, RFC 6890). */
const PRIVATE_4: readonly [string, number][] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3]
]
/** Non-public networks within IPv6 global unicast: protocol assignments with Teredo, documentation, 6to4. */
const PRIVATE_6: readonly [string, number][] = [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20]
]

const blocked = createBlockList(PRIVATE_4, PRIVATE_6)
const globalUnicast = createBlockList([], [['2000::', 3]])

/** Checks whether an IP address is public. */
export function isPublicIp (address: string): boolean {
  if (isIPv4(address)) return !blocked.check(address, 'ipv4')
  return globalUnicast.check(address, 'ipv6') && !blocked.check(address, 'ipv6')
}

/** Checks whether the host of a URL is a non-public IP address. Host names are checked by `lookupPublic`. */
export function isPrivateIpHost (hostname: string): boolean {
  const address = hostname.replace(/^\[|\]$/g, '')
  return isIP(address) !== 0 && !isPublicIp(address)
}

/**
 * DNS lookup that returns public IP addresses only. The connection uses the checked IP addresses: the name is not
 * resolved again, which prevents DNS rebinding.
 */
export const lookupPublic: LookupFunction = (hostname, options, callback) => {
  lookup(hostname, { ...options, all: true } as LookupOptions & { all: true }, (error, found) => {
    if (error !== null) return callback(error, [])
    const addresses = found.filter(({ address }) => isPublicIp(address))
    const [first] = addresses
    if (first === undefined) return callback(providerFailed('the host name resolves to no public IP address'), [])
    if (options.all === true) callback(null, addresses)
    else callback(null, first.address, first.family)
  })
}

function createBlockList (networks4: readonly [string, number][], networks6: readonly [string, number][]): BlockList {
  const list = new BlockList()
  for (const [network, prefix] of networks4) list.addSubnet(network, prefix, 'ipv4')
  for (const [network, prefix] of networks6) list.addSubnet(network, prefix, 'ipv6')
  return list
}
