import type { SerializeOptions } from '@fastify/cookie'

/** Returns the value of a header `Set-Cookie` (RFC 6265, section 4.1). */
export type SerializeCookie = (name: string, value: string, attributes?: SerializeOptions) => string
