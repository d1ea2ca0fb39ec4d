import type { FastifyInstance } from 'fastify'
import type { SerializeCookie } from '../contracts/cookies.js'
import packages from '../packages.cjs'

/**
 * Returns the serializer of `@fastify/cookie`: that of the application if it has registered the package, which may be
 * another version. Otherwise the package is registered in a scope of its own, because it works only then.
 */
export async function loadCookieSerializer (app: FastifyInstance): Promise<SerializeCookie> {
  if (app.hasDecorator('serializeCookie')) return app.serializeCookie
  let serialize: SerializeCookie | undefined
  await app.register(async (scope) => {
    await scope.register(packages.fastifyCookie, { hook: false })
    serialize = scope.serializeCookie
  })
  return serialize as unknown as SerializeCookie // the scope has loaded
}
