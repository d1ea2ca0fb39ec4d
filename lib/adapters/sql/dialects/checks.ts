import { tokensOf } from '../migration/sqlite-definition.js'

const IGNORED = /^(?:--|\/\*|\s)/
const NOT_ENFORCED = /^\/\*!\d+ NOT ENFORCED/

/** Returns the conditions of the CHECK constraints in a CREATE TABLE statement that the database enforces. */
export function checksOf (definition: string): string[] {
  const tokens = tokensOf(definition)
  const checks: string[] = []
  for (let at = 0; at < tokens.length; at++) {
    if (tokens[at]?.toLowerCase() !== 'check') continue
    const start = skipIgnored(tokens, at + 1)
    if (tokens[start] !== '(') continue
    const end = findClosingBracket(tokens, start)
    if (
      !NOT_ENFORCED.test(
        tokens
          .slice(end + 1, end + 3)
          .join('')
          .trimStart()
      )
    ) {
      checks.push(tokens.slice(start + 1, end).join(''))
    }
    at = end
  }
  return checks
}

function skipIgnored (tokens: readonly string[], from: number): number {
  let at = from
  while (IGNORED.test(tokens[at] ?? '')) at++
  return at
}

function findClosingBracket (tokens: readonly string[], start: number): number {
  let depth = 0
  for (let at = start; at < tokens.length; at++) {
    if (tokens[at] === '(') depth++
    if (tokens[at] === ')' && --depth === 0) return at
  }
  return tokens.length
}
