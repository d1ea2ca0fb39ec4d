import fastJson from 'fast-json-stringify'

/**
 * Compiles the reply serializers of our routes, whatever compiler the application has. Replies up to 399 contain exactly the
 * properties of their schema. Error replies are not filtered: an error of another plugin keeps its body.
 */
export function compileSerializer ({ schema, httpStatus }: { schema: object, httpStatus?: string }): (payload: unknown) => string {
  return Number(httpStatus) >= 400 ? serializeErrorReply : fastJson(schema)
}

function serializeErrorReply (payload: unknown): string {
  if (!(payload instanceof Error)) return JSON.stringify(payload)
  const { statusCode, code, error, message, detail } = payload as Error & Record<string, unknown>     // Fastify sets them
  return JSON.stringify({ statusCode, code, error, message, detail })
}
