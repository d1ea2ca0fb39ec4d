import { isIPv4, isIPv6 } from 'node:net'

const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i

/**
 * Returns the network of an IP address: the first 24 bits of an IPv4 address, the first 48 bits of an IPv6 address,
 * which one customer has (RFC 6177). Other text, such as that of a Unix socket, is one network.
 */
export function networkOf (ip: string | undefined): string {
  const address = MAPPED.exec(ip ?? '')?.[1] ?? ip ?? ''
  if (isIPv4(address)) return address.split('.').slice(0, 3).join('.')
  const [plain = ''] = address.split('%') // a zone index belongs to the interface
  if (!isIPv6(plain)) return 'unknown'
  const [head = '', tail] = canonical(plain).split('::')
  const groups = head === '' ? [] : head.split(':')
  if (tail === undefined) return groups.slice(0, 3).join(':')
  const rest = tail === '' ? [] : tail.split(':')
  const zeros = Array<string>(8 - groups.length - rest.length).fill('0')
  return [...groups, ...zeros, ...rest].slice(0, 3).join(':')
}

/** Returns the shortest form of an IPv6 address (RFC 5952), in hexadecimal digits only. */
function canonical (ip: string): string {
  return new URL(`http://[${ip}]`).hostname.slice(1, -1)
}
