import { Type } from '@sinclair/typebox'
import type { FastifySchema } from 'fastify'
import { CAPTCHA_HEADER } from '../attempts/index.js'
import type { AttemptKind } from '../contracts/attempts.js'
import type { CaptchaSettings } from '../contracts/captcha.js'
import type { Settings } from '../contracts/settings.js'

/** Description of a route for the API document. */
export interface RouteDescription {
  /** Tags that group routes, such as `auth` and `users`. */
  readonly tags: readonly string[]
  /** Operation id, without the prefix for a registration whose `name` is not the default. */
  readonly operation: string
  /** Name of the route in FastAPI Users. Default: `operation`. */
  readonly upstream?: string
  readonly summary: string
  readonly description?: string
  readonly consumes?: readonly string[]
  /** Kind of attempt that the route begins. The route documents the header of the captcha if the kind needs one. */
  readonly attempt?: AttemptKind
}

/** Returns the part of a route's schema that only the API document uses. */
export function describeRoute (
  { name, wire, captcha }: Settings,
  { operation, upstream = operation, summary, attempt, ...rest }: RouteDescription
): FastifySchema {
  const schema: object = {
    ...rest,
    ...wire.operations.describe({ name, operation, upstream, summary }),
    ...(attempt !== undefined && captcha?.kinds.has(attempt) === true ? { headers: captchaHeaders(captcha) } : {})
  }
  return schema // FastifySchema does not declare the keywords of API documents
}

/** Returns the schema of the header with the response of the captcha. Every header matches it. */
function captchaHeaders ({ provider: { name, field } }: CaptchaSettings): object {
  const description = `The response of the ${name} widget, unless the body has it in the field ${field}.`
  return Type.Object({ [CAPTCHA_HEADER]: Type.Optional(Type.String({ description })) })
}
