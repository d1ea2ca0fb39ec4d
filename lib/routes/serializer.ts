import fastJson from 'fast-json-stringify'
import type { Settings } from '../contracts/settings.js'

/**
 * Returns the serializer of a reply, whatever compiler the application has. It is compiled when the first such reply is
 * sent, because most applications use few of our replies. Replies up to 399 contain exactly the properties of their
 * schema. Error replies are not filtered: an error of another plugin keeps its body.
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
    serialize ??= fastJson(schema)
    return serialize(payload)
  }
}

/** Checks that the replies with a user can be serialized. Throws if a custom field has a wrong schema. */
export function checkUserReply ({ schemas: { fields, UserRead } }: Settings): void {
  if (Object.keys(fields).length > 0) fastJson(UserRead)
}

function serializeErrorReply (payload: unknown): string {
  if (!(payload instanceof Error)) return JSON.stringify(payload)
  const { statusCode, code, error, message, detail } = payload as Error & Record<string, unknown> // Fastify sets them
  return JSON.stringify({ statusCode, code, error, message, detail })
}
