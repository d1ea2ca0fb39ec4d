import { CREDENTIALS } from './reply.js'
import type { LoadRequest } from './serve.js'

const COUNT = 20_000 // more than one run sends

/** Returns registrations of different users. */
export function registrations (path: string): LoadRequest[] {
  return Array.from({ length: COUNT }, (_, index) => ({
    method: 'POST',
    path,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email: `knight.${index}@camelot.bt`, password: CREDENTIALS.password })
  }))
}
