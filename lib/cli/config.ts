import { existsSync } from 'node:fs'
import { relative, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Settings } from '../contracts/settings.js'
import { resolveOptions, type UsersOptions } from '../options.js'
import { messageOf } from './arguments.js'

/** The options of the application, as a command finds them. */
export interface Config {
  /** The file, relative to the working folder. */
  readonly file: string
  readonly options: UsersOptions
  readonly settings: Settings
  readonly secrets: readonly string[]
}

/** The name that a config has unless `--config` says another. */
export const CONFIG_FILE = 'users.config.js'

/** Imports a config: its default export is the object that `app.register(users, options)` takes. Gives what is wrong with it otherwise. */
export async function loadConfig (name: string, cwd: string): Promise<Config | { problem: string }> {
  const path = resolve(cwd, name)
  const file = relative(cwd, path)
  if (!existsSync(path)) return { problem: `There is no config ${file}. Its default export is the options object that the application registers; name another file with --config.` }
  try {
    const { default: options } = await import(pathToFileURL(path).href) as { default?: unknown }
    if (typeof options !== 'object' || options === null) return { problem: `${file} has no default export that is an object: export default { adapter, secret, backends, … }` }
    return { file, options: options as UsersOptions, ...resolveOptions(options as UsersOptions) }     // resolveOptions checks it
  } catch (error) {
    return { problem: `${file} cannot be used: ${messageOf(error)}` }
  }
}
