import type { FastifyInstance } from 'fastify'

const LOOPBACK = /^(?:127\.|::1$|::ffff:127\.)/

/**
 * Logs one warning when the application listens without TLS beyond this machine: browsers drop a `Secure` cookie that
 * comes over plain http from anything but localhost, without a word. Not in production, where TLS ends at a proxy.
 */
export function warnOfPlainHttp (scope: FastifyInstance, cookieName: string): void {
  scope.addHook('onListen', async () => {
    const isTls = 'setSecureContext' in scope.server
    const isLocal = scope.addresses().every((address) => typeof address === 'string' || LOOPBACK.test(address.address))
    if (isTls || isLocal || process.env.NODE_ENV === 'production') return
    scope.log.warn(`fastify-users: browsers keep the cookie "${cookieName}" only from https or from http://localhost`)
  })
}
