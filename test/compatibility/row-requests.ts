// Requests of the rows, and replies in a form that can be compared.
import { CENTURY, SECRETS, signLikePython, type Actor, type RowContext, type Step } from './rows.js'

const resolveValue = <T>(value: T | ((context: RowContext) => T) | undefined, context: RowContext): T | undefined =>
  typeof value === 'function' ? (value as (context: RowContext) => T)(context) : value

/** A request without a server. */
export interface RowRequest {
  method: 'GET'
  url: string
  headers: Record<string, string>
  payload?: string
}

/** Returns the request of a step. */
export function requestOf (step: Step, context: RowContext): RowRequest {
  const [method = '', path = ''] = step.send.split(' ')
  const { ids, kept } = context
  const url = path.replace(/\{(\w+)\}/g, (_all, name: string) => String(kept[name] ?? ids[name as Actor]))
  const body = bodyOf(step, context)
  return {
    method: method as 'GET',
    url,
    headers: {
      ...sessionOf(step, context),
      ...(body.type === undefined ? {} : { 'content-type': body.type }),
      ...resolveValue(step.headers, context)
    },
    ...(body.text === undefined ? {} : { payload: body.text })
  }
}

function bodyOf ({ json, form, multipart, raw }: Step, context: RowContext): { text?: string; type?: string } {
  if (raw !== undefined) return { text: raw.body, ...(raw.type === undefined ? {} : { type: raw.type }) }
  if (json !== undefined) return { text: JSON.stringify(resolveValue(json, context)), type: 'application/json' }
  if (form !== undefined) {
    return {
      text: new URLSearchParams(resolveValue(form, context)).toString(),
      type: 'application/x-www-form-urlencoded'
    }
  }
  if (multipart === undefined) return {}
  const parts = Object.entries(multipart).map(
    ([name, value]) => `--edge\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`
  )
  return { text: `${parts.join('')}--edge--\r\n`, type: 'multipart/form-data; boundary=edge' }
}

function sessionOf ({ as }: Step, { ids }: RowContext): Record<string, string> {
  const [who, transport] = as?.split(':') ?? []
  if (who === undefined) return {}
  const token = signLikePython({ sub: ids[who as Actor], aud: ['fastapi-users:auth'], exp: CENTURY }, SECRETS.auth)
  return transport === 'cookie' ? { cookie: `fastapiusersauth=${token}` } : { authorization: `Bearer ${token}` }
}

/** Returns a body with placeholders for ids and tokens. */
export function readable (text: string): string {
  return text
    .replace(/eyJ[\w-]+\.[\w-]+\.[\w-]+/g, '<jwt>')
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, '<id>')
}

export const textOf = (body: unknown): string =>
  body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body)

/**
 * Parses a Set-Cookie string as a browser does: the order and case of attributes and quotes around an empty value are
 * ignored.
 */
export function cookieMeaning (text: string): object | null {
  if (text === '') return null
  const [pair = '', ...attributes] = text.split('; ')
  const meaning = attributes
    .map((attribute) => attribute.split('='))
    .map(([name = '', value = '']) => [
      name.toLowerCase(),
      name.toLowerCase() === 'samesite' ? value.toLowerCase() : value
    ])
  return { pair: pair.replace(/=""$/, '='), ...(Object.fromEntries(meaning) as object) }
}

/** Returns an id with hyphens. SQLAlchemy stores UUIDs of SQLite with hyphens or without. */
export function hyphenated (id: string): string {
  return id.includes('-') ? id : id.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}
