import type { TestApp } from './build-app.js'

/** Fails to log in several times, waits for work after the replies, and returns the statuses. */
export async function failLogins ({ app, login }: TestApp, times: number, email: string): Promise<number[]> {
  const statuses: number[] = []
  for (let n = 0; n < times; n++) statuses.push((await login('jwt', email, 'wrong')).statusCode)
  await app.users.settled()
  return statuses
}
