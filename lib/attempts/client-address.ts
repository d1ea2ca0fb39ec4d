import { isIPv4, isIPv6 } from 'node:net'

const UNKNOWN = 'unknown'
/** IPv4 addresses in IPv6: mapped (RFC 4291, section 2.5.5.2) and translated (RFC 6052, section 2.1). */
const MAPPED = [0, 0, 0, 0, 0, 0xffff]
const TRANSLATED = [0x64, 0xff9b, 0, 0, 0, 0]

/**
 * Returns the client that an IP address stands for: an IPv4 address, or the first 64 bits of an IPv6 address, because
 * networks hand out IPv6 addresses in blocks of that size. All requests without a valid IP address are one client.
 */
export function clientOf (ip: string | undefined): string {
  const address = withoutPort(ip ?? '')
  if (isIPv4(address)) return address
  const [plain = ''] = address.split('%') // a zone may follow a link-local address (RFC 4007, section 11)
  if (!isIPv6(plain)) return UNKNOWN
  const groups = ipv6GroupsOf(plain)
  for (const prefix of [MAPPED, TRANSLATED]) {
    if (prefix.every((group, i) => group === groups[i])) return ipv4Of(groups.slice(6))
  }
  return groups
    .slice(0, 4)
    .map((group) => group.toString(16))
    .join(':')
}

/** Returns an IP address without the port that some proxies add. */
function withoutPort (text: string): string {
  const [, bracketed, plain] = /^(?:\[([^\]]+)\](?::\d+)?|(\d+\.\d+\.\d+\.\d+):\d+)$/.exec(text) ?? []
  return bracketed ?? plain ?? text
}

/** Returns the eight groups of a valid IPv6 address (RFC 4291, section 2.2). */
function ipv6GroupsOf (address: string): number[] {
  const end = address.lastIndexOf(':') + 1
  const [a = 0, b = 0, c = 0, d] = address.slice(end).split('.').map(Number)
  const isMixed = d !== undefined // the last 32 bits are written as an IPv4 address
  const hex = isMixed ? `${address.slice(0, end)}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}` : address
  const [head = [], tail = []] = hex.split('::').map((part) => (part === '' ? [] : part.split(':')))
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => '0')
  return [...head, ...zeros, ...tail].map((group) => Number.parseInt(group, 16))
}

function ipv4Of ([high = 0, low = 0]: readonly number[]): string {
  return [high >> 8, high & 255, low >> 8, low & 255].join('.')
}
