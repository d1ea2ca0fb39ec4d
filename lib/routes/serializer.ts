import type { Settings } from '../contracts/settings.js'
import packages from '../packages.cjs'

/**
 * Returns the serializer of a reply, independent of the application's serializer compiler. It is compiled when the
 * first such reply is sent, because most applications use few of the replies. Replies with a status below 400 contain
 * exactly the properties of their schema. Error replies are not filtered, so that errors of other plugins keep their
 * body.
 */
export function compileSerializer ({
  schema,
  httpStatus
}: {
  schema: object
  httpStatus?: string
}): (payload: unknown) => string {
  if (Number(httpStatus) >= 400) return serializeErrorReply
  let serialize: ((payload: unknown) => string) | undefined
  return (payload) => {
    serialize ??= packages.loadFastJsonStringify()(schema)
    return serialize(payload)
  }
}

/** Compiles the serializer of users. Throws if a custom field has an invalid schema. */
export function checkUserReply ({ schemas: { fields, UserRead } }: Settings): void {
  if (Object.keys(fields).length > 0) packages.loadFastJsonStringify()(UserRead)
}

function serializeErrorReply (payload: unknown): string {
  if (!(payload instanceof Error)) return JSON.stringify(payload)
  // Fastify sets these properties
  const { statusCode, code, error, message, detail } = payload as Error & Record<string, unknown>
  return JSON.stringify({ statusCode, code, error, message, detail })
}
