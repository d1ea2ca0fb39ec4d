import { readFileSync } from 'node:fs'
import { readArguments } from './arguments.js'
import type { Command, ExitCode, Terminal } from './command.js'
import { doctorCommand } from './doctor/doctor-command.js'
import { messageOf } from './error-messages.js'
import { migrateCommand } from './migrate/migrate-command.js'
import { pruneCommand } from './prune-command.js'
import { rotateSecretCommand } from './rotate-secret/rotate-secret-command.js'
import { schemaCommand } from './schema-command.js'
import { secondFactorsCommand } from './second-factors-command.js'
import { superuserCommand } from './superuser-command.js'

const commands: ReadonlyMap<string, Command> = new Map([
  ['schema', schemaCommand],
  ['migrate', migrateCommand],
  ['create-superuser', superuserCommand],
  ['remove-second-factors', secondFactorsCommand],
  ['prune', pruneCommand],
  ['rotate-secret', rotateSecretCommand],
  ['doctor', doctorCommand]
])

/** Runs the command that the arguments name. Returns the exit code. */
export async function runCommandLine (args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const [name, ...rest] = args
  if (name === '--help' || name === '-h') return show(terminal, helpText())
  if (name === '--version' || name === '-v') return show(terminal, packageVersion(import.meta.url))
  const command = commands.get(name ?? '')
  if (command === undefined) {
    const text = name === undefined ? helpText() : `Unknown command ${JSON.stringify(name)}; see fastify-users --help.`
    return printUsageError(terminal, text)
  }
  const read = readArguments(command, rest)
  if ('problem' in read) return printUsageError(terminal, `${read.problem}\nSee fastify-users ${name} --help.`)
  if (read.values['help'] === true) return show(terminal, command.help)
  try {
    return await command.run(read.values, terminal)
  } catch (error) {
    terminal.printError(`fastify-users: ${messageOf(error)}`)
    return 1
  }
}

/** Returns the version of the package that contains a module: that of the nearest package.json above it. */
function packageVersion (from: string): string {
  const url = new URL('package.json', from)
  try {
    return String((JSON.parse(readFileSync(url, 'utf8')) as { version?: unknown }).version)
  } catch {
    return packageVersion(new URL('..', from).href)
  }
}

function helpText (): string {
  return [
    'Usage: fastify-users <command> [options]',
    '',
    ...[...commands].map(([name, { summary }]) => `  ${name.padEnd(23)}${summary}`),
    '',
    '  --help      Prints this text, or the help of a command.',
    '  --version   Prints the version.',
    '',
    'Exit codes: 0 success, 1 refused or failed, 2 wrong usage.'
  ].join('\n')
}

function show (terminal: Terminal, text: string): ExitCode {
  terminal.print(text)
  return 0
}

function printUsageError (terminal: Terminal, text: string): ExitCode {
  terminal.printError(text)
  return 2
}
