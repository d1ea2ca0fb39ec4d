import type { Command, Values } from '../command.js'
import { CONFIG_FILE, withConfig } from '../config.js'
import { quoted } from './move.js'
import { runMoveCommand } from './move-command.js'
import { runUpgrade } from './upgrade-command.js'

const HELP = `Usage: fastify-users migrate [options]
       fastify-users migrate --from fastapi-users [options]

Brings the tables of the configured database to our schema: makes those that are
missing, and adds missing columns, widths and indexes; for mongodb() these are
collections and indexes. Removes nothing. Processes
that run it at once wait for each other. PostgreSQL and SQLite change all or nothing;
on MySQL and MariaDB a run that was stopped is finished by the next.

  --config FILE          The options of the application (${CONFIG_FILE}).
  --dry-run              Prints the statements and changes nothing.
  --check                Changes nothing, and exits with 1 when changes are pending.
  --help                 Shows this.

With --from, says what the tables of FastAPI Users lack of ours, and adds it with --yes.
Rows that stand against it stop the move before anything is changed, and are listed.

  --from fastapi-users   Whose tables they are.
  --yes                  Changes the database. Without it nothing is changed.
  --check                Exits with 1 when changes are pending.
  --prune-orphans        Removes tokens and linked accounts whose user is gone.
  --hash-tokens          Replaces stored tokens by their digests. Stop the application
                         first, and start it with tokenStorage: 'digest'.
  --backend NAME         Whose tokens they are, when several backends store tokens.

Exit codes: 0 done, 1 refused, failed or pending, 2 called in a wrong way.`

const ONLY_FROM = ['yes', 'prune-orphans', 'hash-tokens', 'backend']

/** `fastify-users migrate`. */
export const migrateCommand: Command = {
  summary: 'Brings the tables of the database to our schema.',
  help: HELP,
  options: {
    from: { type: 'string' },
    config: { type: 'string', default: CONFIG_FILE },
    'dry-run': { type: 'boolean' },
    yes: { type: 'boolean' },
    check: { type: 'boolean' },
    'prune-orphans': { type: 'boolean' },
    'hash-tokens': { type: 'boolean' },
    backend: { type: 'string' }
  },

  async run (values, terminal) {
    const misuse = findMisuse(values)
    if (misuse !== null) {
      terminal.complain(`fastify-users: ${misuse}`)
      return 2
    }
    return await withConfig(values, terminal, (config) =>
      values['from'] === undefined ? runUpgrade(values, terminal, config) : runMoveCommand(values, terminal, config)
    )
  }
}

function findMisuse (values: Values): string | null {
  const { from, yes, check, backend, 'hash-tokens': hashTokens, 'dry-run': dryRun } = values
  if (from === undefined) {
    const stray = ONLY_FROM.find((name) => values[name] !== undefined)
    if (stray !== undefined) return `--${stray} belongs to --from fastapi-users`
    return dryRun === true && check === true ? '--check changes nothing: leave out --dry-run' : null
  }
  if (from !== 'fastapi-users') return `migrate --from does not know ${quoted(from)}, only fastapi-users`
  if (dryRun === true) return '--from changes nothing without --yes: leave out --dry-run'
  if (yes === true && check === true) return '--check changes nothing: leave out --yes'
  return backend !== undefined && hashTokens !== true ? '--backend belongs to --hash-tokens' : null
}
