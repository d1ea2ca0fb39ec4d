import { Type } from '@sinclair/typebox'
import type { ErrorFormat } from '../contracts/wire-format.js'

/** Keywords that must stay at the top of a response schema, where @fastify/swagger reads them. */
const TOP = ['x-response-description', 'x-examples']

/**
 * Adds the reply of a login that waits for a step to the schema of the error replies with the same status. Clients get
 * a type for the ticket and the steps.
 */
export function withPendingReply (errors: object, format: ErrorFormat, steps: readonly string[]): object {
  const isTop = ([key]: [string, unknown]): boolean => TOP.includes(key)
  const entries = Object.entries(errors)
  const pending = Type.Object({
    code: Type.Literal('LOGIN_STEP_REQUIRED'),
    ticket: Type.String({ description: 'Send it with the answer to the route of a step.' }),
    steps: Type.Array(
      Type.Object(
        { name: Type.String({ enum: [...steps] }) },
        { additionalProperties: true, description: 'A step and the values of its challenge.' }
      ),
      { description: 'The steps that the user can choose from.' }
    )
  })
  return {
    ...Object.fromEntries(entries.filter(isTop)),
    anyOf: [Object.fromEntries(entries.filter((entry) => !isTop(entry))), format.pendingSchema(pending)]
  }
}

/** Returns the example of the reply, or nothing if there are no steps. */
export function pendingDetailOf ([name]: readonly string[]): { detail?: object } {
  if (name === undefined) return {}
  const ticket = 'Rk5wT0JVc2NQa2hYb1ZmQm1YQ2pLdGdqV2xkWmFxbVI'
  return { detail: { code: 'LOGIN_STEP_REQUIRED', ticket, steps: [{ name }] } }
}
