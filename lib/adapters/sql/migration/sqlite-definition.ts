import type { ColumnChange } from './migration-source.js'

// comments, quoted text, quoted names, words, white space, other characters; SQLite stores statements unchanged
const TOKEN =
  /--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|[\p{L}\p{N}_$]+|\s+|[\s\S]/gu
const IGNORED = /^(?:--|\/\*|\s)/
const ENDS_TYPE = /^(?:constraint|primary|not|null|unique|check|default|collate|references|generated|as)$/i
const TABLE_CONSTRAINT = /^(?:constraint|primary|unique|check|foreign)$/i

/** A CREATE statement split at the top-level commas of its first parentheses. `parts` are lists of tokens. */
interface Definition {
  readonly parts: readonly (readonly string[])[]
  readonly after: readonly string[]
}

/** Returns the keys of a CREATE INDEX statement in lower case, without quotes, white space, order and collation. */
export function definedIndexKeys (sql: string): string[] {
  return splitDefinition(sql).parts.map((tokens) => {
    const words = tokens.filter((token) => !IGNORED.test(token))
    const end = words.findIndex((word, position) => position > 0 && /^(?:asc|desc|collate)$/i.test(word))
    return (end === -1 ? words : words.slice(0, end)).map(unquote).join('').toLowerCase()
  })
}

/**
 * Returns a CREATE TABLE statement for another table name, with changes of some columns (by lower-case name). Returns
 * null if the statement cannot be parsed.
 */
export function alterTable (sql: string, name: string, changes: ReadonlyMap<string, ColumnChange>): string | null {
  const { parts, after } = splitDefinition(sql)
  let changed = 0
  const lines = parts.map((tokens) => {
    const first = tokens.findIndex((token) => !IGNORED.test(token))
    const word = String(tokens[first])
    const change = TABLE_CONSTRAINT.test(word) ? undefined : changes.get(unquote(word).toLowerCase())
    if (change === undefined) return tokens.join('')
    const kept =
      change.type === undefined
        ? tokens.slice(first + 1)
        : [` ${change.type} `, ...withoutType(tokens.slice(first + 1))]
    const rest = change.nullable === true ? withoutNotNull(kept) : kept
    if (rest !== null) changed++
    return [...tokens.slice(0, first + 1), ...(rest ?? [])].join('').trimEnd()
  })
  return changed === changes.size ? `CREATE TABLE ${name} (${lines.join(',')})${after.join('')}` : null
}

/** Returns the tokens of a statement: comments, quoted text and names, words, white space, single characters. */
export function tokensOf (sql: string): string[] {
  return Array.from(sql.matchAll(TOKEN), ([token]) => token)
}

function splitDefinition (sql: string): Definition {
  const tokens = tokensOf(sql)
  const start = tokens.indexOf('(') + 1
  let part: string[] = []
  const parts = [part]
  let depth = 1
  let position = start
  for (const token of tokens.slice(start)) {
    position++
    if (token === '(') depth++
    if (token === ')' && --depth === 0) break
    if (depth === 1 && token === ',') parts.push((part = []))
    else part.push(token)
  }
  return { parts, after: tokens.slice(position) }
}

/** Returns the tokens after the type of a column: constraints and comments. */
function withoutType (tokens: readonly string[]): readonly string[] {
  let depth = 0
  const end = tokens.findIndex((token) => {
    if (token === '(') depth++
    if (token === ')') depth--
    return depth === 0 && (ENDS_TYPE.test(token) || /^(?:--|\/\*)/.test(token))
  })
  return end === -1 ? [] : tokens.slice(end)
}

/** Returns the column without its NOT NULL, or null if that constraint has a name or a conflict clause. */
function withoutNotNull (tokens: readonly string[]): readonly string[] | null {
  const words = tokens.flatMap((token, position) =>
    IGNORED.test(token) ? [] : [{ word: token.toLowerCase(), position }]
  )
  const at = words.findIndex(
    ({ word }, index) => word === 'not' && words[index + 1]?.word === 'null' && words[index - 1]?.word !== 'is'
  )
  const [start, end] = [words[at], words[at + 1]]
  if (
    start === undefined ||
    end === undefined ||
    words[at - 2]?.word === 'constraint' ||
    words[at + 2]?.word === 'on'
  ) {
    return null
  }
  return [...tokens.slice(0, start.position), ...tokens.slice(end.position + 1)]
}

function unquote (token: string): string {
  const quote = token.charAt(0)
  if (quote === '[') return token.slice(1, -1)
  return ['"', '`', "'"].includes(quote) ? token.slice(1, -1).replaceAll(quote + quote, quote) : token
}
