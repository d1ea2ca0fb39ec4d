import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

/**
 * Returns the path of a program in a Python environment that `.ci/services` installs, and the reason to skip its tests
 * if it is missing. With `REQUIRE_SERVICES=1` a missing program is an error.
 */
export function pythonProgram (environment: string, program: string): { path: string; skip: string | false } {
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache')
  const path = join(cache, 'fastify-users/python', environment, 'bin', program)
  if (existsSync(path)) return { path, skip: false }
  const skip = `${program} is not installed; run \`. .ci/services && start_services\``
  if (process.env['REQUIRE_SERVICES'] === '1') throw new Error(skip)
  return { path, skip }
}
