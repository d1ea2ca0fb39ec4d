import { readFileSync } from 'node:fs'
import { messageOf, readArguments } from './arguments.js'
import type { Command, ExitCode, Terminal } from './command.js'
import { migrateCommand } from './migrate/migrate-command.js'

const commands: ReadonlyMap<string, Command> = new Map([['migrate', migrateCommand]])

/** Runs what the arguments ask for and gives the exit code. */
export async function runCommandLine (args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const [name, ...rest] = args
  if (name === '--help' || name === '-h') return show(terminal, helpText())
  if (name === '--version' || name === '-v') return show(terminal, packageVersion(import.meta.url))
  const command = commands.get(name ?? '')
  if (command === undefined) return refuse(terminal, name === undefined ? helpText() : `There is no command ${JSON.stringify(name)}; see fastify-users --help.`)
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
    ...[...commands].map(([name, { summary }]) => `  ${name.padEnd(12)}${summary}`),
    '',
    '  --help      Shows this, or the help of a command.',
    '  --version   Shows the version.',
    '',
    'Exit codes: 0 as asked, 1 something must be done first, 2 the call or the config is wrong.'
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
