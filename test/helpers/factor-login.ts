import type { LightMyRequestResponse } from 'fastify'
import type { TestApp } from './build-app.js'

type Cookie = LightMyRequestResponse['cookies'][number]

/** A browser with its cookies. Its pages belong to the application. */
export interface Jar {
  /** Sends a request with the cookies, and keeps those of the reply. */
  send(app: Pick<TestApp, 'send'>, ...request: Parameters<TestApp['send']>): Promise<LightMyRequestResponse>
  get(name: string): string | undefined
  set(name: string, value: string): void
  /** The cookie as the last reply set it. */
  attributesOf(name: string): Cookie | undefined
}

/** Opens a browser without cookies. */
export function openJar (): Jar {
  const cookies = new Map<string, Cookie>()
  return {
    async send (app, method, url, payload, headers = {}) {
      const cookie = [...cookies.values()].map(({ name, value }) => `${name}=${value}`).join('; ')
      const sent = { ...(cookie === '' ? {} : { cookie }), 'sec-fetch-site': 'same-origin', ...headers }
      const reply = await app.send(method, url, payload, sent)
      for (const set of reply.cookies) {
        if (set.value === '') cookies.delete(set.name)
        else cookies.set(set.name, set)
      }
      return reply
    },
    get: (name) => cookies.get(name)?.value,
    set (name, value) {
      cookies.set(name, { name, value })
    },
    attributesOf: (name) => cookies.get(name)
  }
}
