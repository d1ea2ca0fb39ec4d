import { existsSync } from 'node:fs'
import { relative, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Settings } from '../contracts/settings.js'
import type { CheckedOptions, UsersOptions } from '../options.js'
import { resolveOptions } from '../resolve-options.js'
import type { ExitCode, Terminal, Values } from './command.js'
import { messageOf } from './error-messages.js'

/** A loaded config file: the checked options of the application. */
export interface Config {
  /** Path of the file, relative to the working folder. */
  readonly file: string
  /** The export `server`: the options of `Fastify()`, which only `doctor` reads. Undefined if there is none. */
  readonly server: unknown
  readonly options: CheckedOptions
  readonly settings: Settings
  readonly secrets: readonly string[]
}

/** Reason why a config cannot be used. The exit code is 2 if the file does not exist, otherwise 1. */
export interface ConfigProblem {
  readonly problem: string
  readonly code: 1 | 2
}

/** Default of the option `--config`. */
export const CONFIG_FILE = 'users.config.js'

const READ_AS_COMMONJS =
  'Node.js reads it as CommonJS; set "type": "module" in its package.json, ' +
  'or rename it to users.config.mjs and run with --config users.config.mjs'

/**
 * Imports a config file. Its default export is the object that `app.register(users, options)` takes. Returns
 * the problem if the file cannot be used.
 */
export async function loadConfig (name: string, cwd: string): Promise<Config | ConfigProblem> {
  const path = resolve(cwd, name)
  const file = relative(cwd, path)
  if (!existsSync(path)) {
    const problem =
      `The config file ${file} does not exist. Create it with the options of the application as its default export, ` +
      'or name another file with --config.'
    return { problem, code: 2 }
  }
  try {
    return await importConfig(path, file)
  } catch (error) {
    const reason = isCommonJsError(error) ? READ_AS_COMMONJS : messageOf(error)
    return { problem: `${file} cannot be used: ${reason}`, code: 1 }
  }
}

/** Loads the config that `--config` names and calls `work` with it. Prints the problem if the config cannot be used. */
export async function withConfig (
  values: Values,
  terminal: Terminal,
  work: (config: Config) => Promise<ExitCode>
): Promise<ExitCode> {
  const config = await loadConfig(String(values['config']), terminal.cwd)
  if ('problem' in config) {
    terminal.printError(`fastify-users: ${config.problem}`)
    return config.code
  }
  return await work(config)
}

async function importConfig (path: string, file: string): Promise<Config | ConfigProblem> {
  const { default: options, features, server } = (await import(pathToFileURL(path).href)) as {
    default?: unknown
    features?: unknown
    server?: unknown
  }
  if (typeof options !== 'object' || options === null) {
    const problem = `${file} needs an object as its default export: export default { adapter, secret, backends, … }`
    return { problem, code: 1 }
  }
  if (features !== undefined) {
    const problem =
      `the export \`features\` of ${file} has no effect; list the features in the options: ` +
      'export default { features: [ … ], … }'
    return { problem, code: 1 }
  }
  return {
    file,
    server,
    options: options as CheckedOptions, // resolveOptions checks it
    ...resolveOptions(options as UsersOptions)
  }
}

/** Checks for the syntax error of a file with `import` or `export` that Node.js reads as CommonJS. */
function isCommonJsError (error: unknown): boolean {
  return error instanceof SyntaxError && /outside a module|token 'export'/.test(error.message)
}
