import { existsSync } from 'node:fs'
import { relative, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { FastifyInstance } from 'fastify'
import type { Settings } from '../contracts/settings.js'
import type { CheckedOptions, UsersOptions } from '../options.js'
import { resolveOptions } from '../resolve-options.js'
import { messageOf } from './arguments.js'
import type { ExitCode, Terminal, Values } from './command.js'

/** The options of the application, as a command finds them. */
export interface Config {
  /** The file, relative to the working folder. */
  readonly file: string
  readonly options: CheckedOptions
  /** Registers the features that the application has. */
  readonly features: (app: FastifyInstance) => unknown
  readonly settings: Settings
  readonly secrets: readonly string[]
}

/** The name that a config has unless `--config` says another. */
export const CONFIG_FILE = 'users.config.js'

const NO_MODULE =
  'the package.json beside it says that .js files are CommonJS; set "type": "module" there, or name the file users.config.mjs and say --config users.config.mjs'

/** Why there is no config, and the exit code for it: 2 when the call names a file that is not there. */
export interface NoConfig {
  readonly problem: string
  readonly code: 1 | 2
}

/**
 * Imports a config: its default export is the object that `app.register(users, options)` takes. `features`, when it is
 * exported too, registers what the application registers after the users. Gives what is wrong with it otherwise.
 */
export async function loadConfig (name: string, cwd: string): Promise<Config | NoConfig> {
  const path = resolve(cwd, name)
  const file = relative(cwd, path)
  if (!existsSync(path)) {
    return {
      problem: `There is no config ${file}. Its default export is the options object that the application registers; name another file with --config.`,
      code: 2
    }
  }
  try {
    const { default: options, features = async () => {} } = (await import(pathToFileURL(path).href)) as {
      default?: unknown
      features?: unknown
    }
    if (typeof options !== 'object' || options === null) {
      return {
        problem: `${file} has no default export that is an object: export default { adapter, secret, backends, … }`,
        code: 1
      }
    }
    if (typeof features !== 'function') {
      return {
        problem: `${file} exports \`features\`, which is no function: export async function features (app) { … }`,
        code: 1
      }
    }
    return {
      file,
      options: options as CheckedOptions,
      features: features as Config['features'],
      ...resolveOptions(options as UsersOptions)
    } // resolveOptions checks it
  } catch (error) {
    return { problem: `${file} cannot be used: ${isNoModule(error) ? NO_MODULE : messageOf(error)}`, code: 1 }
  }
}

/** Node.js read a file with `import` or `export` as CommonJS. */
function isNoModule (error: unknown): boolean {
  return error instanceof SyntaxError && /outside a module|token 'export'/.test(error.message)
}

/** Does the work of a command with the config that it was called with. What the work throws is told in one line. */
export async function withConfig (
  values: Values,
  terminal: Terminal,
  work: (config: Config) => Promise<ExitCode>
): Promise<ExitCode> {
  const config = await loadConfig(String(values['config']), terminal.cwd)
  if ('problem' in config) {
    terminal.complain(`fastify-users: ${config.problem}`)
    return config.code
  }
  return await work(config)
}
