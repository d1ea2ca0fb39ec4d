import type { LoadRequest, Served } from './serve.js'

/** The largest number of connections: each one has a session of its own. */
const SESSIONS = 64

/** Returns the requests of sessions that exchange their refresh tokens again and again. */
export async function followRefreshTokens (
  path: string,
  logIn: () => Promise<string>
): Promise<Pick<Served, 'requests' | 'follow'>> {
  const requests: LoadRequest[] = []
  const headers = { 'content-type': 'application/json' }
  for (let i = 0; i < SESSIONS; i++) {
    requests.push({ method: 'POST', path, headers, body: JSON.stringify({ refresh_token: await logIn() }) })
  }
  return { requests, follow: 'refresh_token' }
}
