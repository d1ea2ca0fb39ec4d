import type { FastifyInstance, InjectOptions } from 'fastify'

/** A reply as a browser receives it. */
export interface Page {
  url: URL
  status: number
  headers: Record<string, unknown>
  body: string
  json<T = Record<string, unknown>>(): T
}

/** A browser that follows redirects and keeps cookies. It calls the application with `inject`, other hosts by HTTP. */
export interface Browser {
  /** Cookies by host. */
  jar: Map<string, Map<string, string>>
  /** Sends one request. */
  ask(
    url: string,
    init?: { method?: 'GET' | 'POST' | 'HEAD'; headers?: Record<string, string>; body?: URLSearchParams }
  ): Promise<Page>
  /** Follows redirects until a page, or until a URL that `until` accepts. That URL is not requested. */
  go(url: string, until?: (url: URL) => boolean): Promise<Page>
  /** Returns the value of a cookie for the application. */
  cookie(name: string): string | undefined
}

export const ORIGIN = 'https://app.example.com'

export function openBrowser (app: FastifyInstance): Browser {
  const jar: Browser['jar'] = new Map()

  function keep (host: string, cookies: readonly string[]): void {
    const own = jar.get(host) ?? new Map<string, string>()
    jar.set(host, own)
    for (const cookie of cookies) {
      const [pair = '', ...attributes] = cookie.split(/; */)
      const name = pair.slice(0, pair.indexOf('='))
      const gone = attributes.some(
        (attribute) => /^max-age=0$/i.test(attribute) || /^expires=Thu, 01 Jan 1970/i.test(attribute)
      )
      if (gone) own.delete(name)
      else own.set(name, pair.slice(name.length + 1))
    }
  }

  const ask: Browser['ask'] = async (address, { method = 'GET', headers = {}, body } = {}) => {
    const url = new URL(address, ORIGIN)
    const cookie = [...(jar.get(url.host) ?? [])].map(([name, value]) => `${name}=${value}`).join('; ')
    const sent = {
      ...(cookie === '' ? {} : { cookie }),
      ...(body === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' }),
      ...headers
    }
    if (url.origin === ORIGIN) {
      const options: InjectOptions = { method, url: url.pathname + url.search, headers: sent }
      const reply = await app.inject(body === undefined ? options : { ...options, payload: body.toString() })
      keep(url.host, [reply.headers['set-cookie'] ?? []].flat())
      return { url, status: reply.statusCode, headers: reply.headers, body: reply.body, json: () => reply.json() }
    }
    const reply = await fetch(url, {
      method,
      headers: sent,
      redirect: 'manual',
      ...(body === undefined ? {} : { body })
    })
    keep(url.host, reply.headers.getSetCookie())
    const text = await reply.text()
    return {
      url,
      status: reply.status,
      headers: Object.fromEntries(reply.headers),
      body: text,
      json: <T>() => JSON.parse(text) as T
    }
  }

  return {
    jar,
    ask,
    cookie: (name) => jar.get(new URL(ORIGIN).host)?.get(name),
    async go (address, until = () => false) {
      let url = new URL(address, ORIGIN)
      for (let hops = 0; hops < 20; hops++) {
        if (until(url)) {
          return {
            url,
            status: 0,
            headers: {},
            body: '',
            json: () => {
              throw new Error('not asked for')
            }
          }
        }
        const page = await ask(url.href)
        const { location } = page.headers
        if (page.status < 300 || page.status > 399 || typeof location !== 'string') return page
        url = new URL(location, url)
      }
      throw new Error(`too many redirects: ${url.href}`)
    }
  }
}
