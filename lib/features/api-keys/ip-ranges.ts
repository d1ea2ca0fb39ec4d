import { BlockList, isIP } from 'node:net'

const MAPPED = /^::ffff:(\d+(?:\.\d+){3})$/i

/** Returns the first text that is neither an IP address nor a range in CIDR notation (RFC 4632; RFC 4291), or null. */
export function findInvalidRange (ranges: readonly string[]): string | null {
  return ranges.find((range) => !addRange(new BlockList(), range)) ?? null
}

/** Returns true if an IP address is in one of the ranges, all of which are valid. */
export function isInRanges (ip: string, ranges: readonly string[]): boolean {
  const list = new BlockList()
  for (const range of ranges) addRange(list, range)
  // an IPv6 socket reports IPv4 clients as mapped addresses (RFC 4291, section 2.5.5.2)
  const plain = MAPPED.exec(ip)?.[1] ?? ip
  const family = isIP(plain)
  return family !== 0 && list.check(plain, family === 4 ? 'ipv4' : 'ipv6')
}

function addRange (list: BlockList, range: string): boolean {
  const [address = '', bits, ...rest] = range.split('/')
  const family = isIP(address)
  if (family === 0 || rest.length > 0 || address.includes('%')) return false
  const type = family === 4 ? 'ipv4' : 'ipv6'
  if (bits === undefined) {
    list.addAddress(address, type)
    return true
  }
  if (!/^\d{1,3}$/.test(bits) || Number(bits) > (family === 4 ? 32 : 128)) return false
  list.addSubnet(address, Number(bits), type)
  return true
}
