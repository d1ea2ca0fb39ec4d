import type { Session } from '../../contracts/session.js'
import { parseJson } from '../../shared/json.js'
import { deriveSessionId } from '../../tokens/index.js'
import { readDetails, readMethods, readTime } from '../stored-session.js'

/** The value of a stored token. A plain token has no stamp. */
export interface StoredToken {
  id: string
  stamp: string | null
  session(): Session
}

/** A value as JSON. The times are milliseconds since 1970. */
interface TokenValue {
  stamp: string
  id: string
  sid: string
  created: number | null
  authenticated: number | null
  methods: readonly string[]
  details: Session['details']
}

/** Returns the value of a token that is stored as a digest. */
export function writeValue (id: string, stamp: string, session: Session): string {
  const value: TokenValue = {
    stamp,
    id,
    sid: session.id,
    created: session.createdAt && session.createdAt.getTime(),
    authenticated: session.authenticatedAt && session.authenticatedAt.getTime(),
    methods: session.methods,
    details: session.details
  }
  return JSON.stringify(value)
}

/**
 * Returns the contents of the value of a digest. Values of earlier versions have the form `stamp:id`; a stamp contains
 * neither a colon nor a brace.
 */
export function readValue (value: string, keyPart: string): StoredToken {
  if (value.startsWith('{') && value.endsWith('}')) return readJson(value, keyPart)
  const end = value.indexOf(':')
  // a value without a colon gets an empty stamp, which matches no user
  return { ...readPlain(value.slice(end + 1), keyPart), stamp: value.slice(0, Math.max(end, 0)) }
}

/** Returns the contents of the value of a plain token, which is the id of its user, as FastAPI Users stores it. */
export function readPlain (id: string, keyPart: string): StoredToken {
  return { id, stamp: null, session: () => unknownSession(keyPart) }
}

/** Returns the session of a token about which nothing is stored. */
export function unknownSession (keyPart: string): Session {
  return { id: deriveSessionId(keyPart), createdAt: null, authenticatedAt: null, methods: [], details: {} }
}

function readJson (text: string, keyPart: string): StoredToken {
  const value = readDetails(parseJson(text)) as Partial<Record<keyof TokenValue, unknown>>
  return {
    id: String(value.id),
    stamp: typeof value.stamp === 'string' ? value.stamp : '', // an empty stamp matches no user
    session: () => ({
      id: typeof value.sid === 'string' ? value.sid : deriveSessionId(keyPart),
      createdAt: readTime(value.created),
      authenticatedAt: readTime(value.authenticated),
      methods: readMethods(value.methods),
      details: readDetails(value.details)
    })
  }
}
