interface Cookie {
  name: string
  value: string
  domain: string
  hostOnly: boolean
  path: string
  partitioned: boolean
}

/** The cookies of one browser. RFC 6265, section 5.3, and CHIPS define which cookies are the same. */
export interface Jar {
  /** Stores the cookies of a reply. */
  store(host: string, headers: string | string[] | undefined): void
  /** Returns the Cookie header for a request, or an empty string. */
  header(host: string, path: string): string
  count(name: string): number
  copy(): Jar
  /** Returns a jar with the cookies of both jars. */
  with(other: Jar): Jar
  readonly cookies: readonly Cookie[]
}

export function createJar (given: readonly Cookie[] = []): Jar {
  let cookies = [...given]
  const isSame = (a: Cookie, b: Cookie): boolean => keyOf(a) === keyOf(b)
  return {
    get cookies () {
      return cookies
    },
    store (host, headers) {
      for (const cookie of [headers ?? []].flat().map((header) => parse(host, header))) {
        cookies = cookies.filter((kept) => !isSame(kept, cookie.kept))
        if (!cookie.expired) cookies.push(cookie.kept)
      }
    },
    header: (host, path) =>
      cookies
        .filter((cookie) => isSentTo(cookie, host, path))
        .map(({ name, value }) => `${name}=${value}`)
        .join('; '),
    count: (name) => cookies.filter((cookie) => cookie.name === name).length,
    copy: () => createJar(cookies),
    with: (other) => createJar([...cookies, ...other.cookies])
  }
}

function parse (host: string, header: string): { kept: Cookie; expired: boolean } {
  const [pair = '', ...parts] = header.split('; ')
  const attributes = new Map(parts.map((part) => [part.split('=')[0]?.toLowerCase() ?? '', part.split('=')[1] ?? '']))
  const domain = attributes.get('domain')
  const kept = {
    name: pair.slice(0, pair.indexOf('=')),
    value: pair.slice(pair.indexOf('=') + 1),
    domain: domain ?? host,
    hostOnly: domain === undefined,
    path: attributes.get('path') ?? '/',
    partitioned: attributes.has('partitioned')
  }
  return { kept, expired: attributes.get('max-age') === '0' }
}

function keyOf ({ name, domain, hostOnly, path, partitioned }: Cookie): string {
  return JSON.stringify([name, domain, hostOnly, path, partitioned])
}

function isSentTo ({ domain, hostOnly, path }: Cookie, host: string, url: string): boolean {
  const fitsHost = host === domain || (!hostOnly && host.endsWith(`.${domain}`))
  return fitsHost && (path === '/' || url === path || url.startsWith(`${path}/`))
}
