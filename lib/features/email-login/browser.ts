import {
  createHostCookie,
  type Backend,
  type BrowserCookie,
  type EventContext,
  type FeatureKit
} from '../../feature/index.js'

/** Binds requests to the browser that sent them. */
export interface BrowserBinding {
  /** Sets the cookie and returns its digest; null at a backend without cookies, and for calls without a reply. */
  bind(backend: Backend, context: EventContext): string | null
  /** Returns what the client presents: null at a backend without cookies, and for calls without a request. */
  presented(backend: Backend, context: EventContext): string | null
  /** Deletes the cookie. */
  release(backend: Backend, context: EventContext): void
}

/** Creates the functions that bind requests. `maxAge` is the lifetime of the cookie in seconds. */
export function createBrowserBinding (kit: FeatureKit, maxAge: number): BrowserBinding {
  const cookieOf = ({ transport }: Backend): BrowserCookie => createHostCookie(kit, transport, 'email-login', maxAge)

  return {
    bind (backend, { request, reply }) {
      if (!backend.transport.ambient || request === null || reply === null) return null
      return cookieOf(backend).set(request, reply)
    },
    presented (backend, { request }) {
      // a missing cookie counts as an empty text, which matches no request
      return backend.transport.ambient && request !== null ? cookieOf(backend).digestOf(request) ?? '' : null
    },
    release (backend, { reply }) {
      if (backend.transport.ambient && reply !== null) cookieOf(backend).clear(reply)
    }
  }
}
