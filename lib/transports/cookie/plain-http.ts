import type { FastifyInstance } from 'fastify'

const LOOPBACK = /^(?:127\.|::1$|::ffff:127\.)/

/**
 * Logs a warning if the application listens without TLS on an IP address that other machines can reach: browsers
 * silently drop `Secure` cookies from plain http, except from localhost. In production a proxy terminates TLS, so no
 * warning is logged there.
 */
export function warnOfPlainHttp (scope: FastifyInstance, cookieName: string): void {
  scope.addHook('onListen', async () => {
    const isTls = 'setSecureContext' in scope.server
    const isLocal = scope.addresses().every((address) => typeof address === 'string' || LOOPBACK.test(address.address))
    if (isTls || isLocal || process.env.NODE_ENV === 'production') return
    scope.log.warn(`fastify-users: browsers keep the cookie "${cookieName}" only from https or from http://localhost`)
  })
}
