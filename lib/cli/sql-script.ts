import type { SchemaStep } from '../contracts/store-schema.js'

/** All statements of a plan, as a script. */
export function scriptOf (steps: readonly SchemaStep[]): string {
  return steps
    .flatMap(({ statements }) => statements)
    .map((statement) => `${statement};`)
    .join('\n')
}
