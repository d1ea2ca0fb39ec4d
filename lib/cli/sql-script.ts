import type { SchemaStep } from '../contracts/store-schema.js'

/** Returns all statements of a plan as one script. */
export function scriptOf (steps: readonly SchemaStep[]): string {
  return steps
    .flatMap(({ statements }) => statements)
    .map((statement) => `${statement};`)
    .join('\n')
}
