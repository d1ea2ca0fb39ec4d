import type { FastifyInstance } from 'fastify'
import { withApplication } from './application.js'
import { failWith, type Command, type ExitCode, type Terminal } from './command.js'
import { CONFIG_FILE, withConfig } from './config.js'
import { messageOf } from './error-messages.js'

const HELP = `Usage: fastify-users remove-second-factors --email EMAIL [options]

Removes the second factors of a user who has lost them, for example of the only
superuser. The sessions and the trusted devices of the user end, and the user is
notified by mail. Make sure first that the request comes from the user.

  --email EMAIL  E-mail of the user.
  --name NAME    Removes only this kind of factor, such as totp.
  --config FILE  Config file with the options of the application. Default:
                 ${CONFIG_FILE}.
  --help         Prints this text.

Exit codes: 0 success, 1 refused or failed, 2 wrong usage.`

/** The command `fastify-users remove-second-factors`. */
export const secondFactorsCommand: Command = {
  summary: 'Removes the second factors of a user who has lost them.',
  help: HELP,
  options: {
    email: { type: 'string' },
    name: { type: 'string' },
    config: { type: 'string', default: CONFIG_FILE }
  },

  async run (values, terminal) {
    const email = String(values['email'] ?? '')
    if (email === '') return failWith(terminal, 'remove-second-factors needs --email', 2)
    const name = values['name'] === undefined ? undefined : String(values['name'])
    return await withConfig(values, terminal, async (config) => {
      try {
        return await withApplication(config, async (app) => {
          await app.ready()
          return await removeFactors(app, email, name, terminal)
        })
      } catch (error) {
        return failWith(terminal, messageOf(error))
      }
    })
  }
}

async function removeFactors (
  app: FastifyInstance,
  email: string,
  name: string | undefined,
  terminal: Terminal
): Promise<ExitCode> {
  const user = await app.users.getByEmail(email)
  if (user === null) return failWith(terminal, `there is no user ${email}`)
  const removed = await app.users.removeSecondFactors(user, name === undefined ? {} : { name })
  await app.users.settled() // the mail
  if (removed === 0) return failWith(terminal, `${user.email} has no second factor${name === undefined ? '' : ` ${name}`}`)
  terminal.print(`Removed ${removed} second factor${removed === 1 ? '' : 's'} of ${user.email}.`)
  return 0
}
