import { readFileSync } from 'node:fs'
import { messageOf, readArguments } from './arguments.js'
import type { Command, ExitCode, Terminal } from './command.js'
import { migrateCommand } from './migrate/migrate-command.js'
import { doctorCommand } from './doctor/doctor-command.js'
import { pruneCommand } from './prune-command.js'
import { schemaCommand } from './schema-command.js'
import { superuserCommand } from './superuser-command.js'

const commands: ReadonlyMap<string, Command> = new Map([
  ['schema', schemaCommand],
  ['migrate', migrateCommand],
  ['create-superuser', superuserCommand],
  ['prune', pruneCommand],
  ['doctor', doctorCommand]
])

/** Runs what the arguments ask for and gives the exit code. */
export async function runCommandLine (args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const [name, ...rest] = args
  if (name === '--help' || name === '-h') return show(terminal, helpText())
  if (name === '--version' || name === '-v') return show(terminal, packageVersion(import.meta.url))
  const command = commands.get(name ?? '')
  if (command === undefined) {
    return refuse(
      terminal,
      name === undefined ? helpText() : `There is no command ${JSON.stringify(name)}; see fastify-users --help.`
    )
  }
  const read = readArguments(command, rest)
  if ('problem' in read) return refuse(terminal, `${read.problem}\nSee fastify-users ${name} --help.`)
  if (read.values['help'] === true) return show(terminal, command.help)
  try {
    return await command.run(read.values, terminal)
  } catch (error) {
    terminal.complain(`fastify-users: ${messageOf(error)}`)
    return 1
  }
}

/** The version in the nearest package.json above a module. */
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
    ...[...commands].map(([name, { summary }]) => `  ${name.padEnd(18)}${summary}`),
    '',
    '  --help      Shows this, or the help of a command.',
    '  --version   Shows the version.',
    '',
    'Exit codes: 0 done, 1 refused or failed, 2 called in a wrong way.'
  ].join('\n')
}

function show (terminal: Terminal, text: string): ExitCode {
  terminal.print(text)
  return 0
}

function refuse (terminal: Terminal, text: string): ExitCode {
  terminal.complain(text)
  return 2
}
