import type { FastifyInstance } from 'fastify'
import type { NewUser, User } from '../contracts/user.js'
import { isUsersError } from '../errors.js'
import { userModel } from '../users/index.js'
import { withApplication } from './application.js'
import { messageOf } from './arguments.js'
import type { Command, ExitCode, Terminal, Values } from './command.js'
import { CONFIG_FILE, withConfig, type Config } from './config.js'

const HELP = `Usage: fastify-users create-superuser --email ADDRESS [options]

Stores a user who may do everything, with a verified address. The password is asked
for on a terminal, or is the line that is piped in; it meets the password policy.
Hooks run as for app.users.create.

  --email ADDRESS    The address.
  --set FIELD=VALUE  The value of a custom field; once for each field. What is no text
                     is written as JSON.
  --promote          Makes a user who exists a superuser with a verified address. The
                     password stays as it is, and none is read.
  --config FILE      The options of the application (${CONFIG_FILE}).
  --help             Shows this.

Exit codes: 0 done, 1 refused or failed, 2 called in a wrong way.`

/** `fastify-users create-superuser`. */
export const superuserCommand: Command = {
  summary: 'Makes a user who may do everything.',
  help: HELP,
  options: { email: { type: 'string' }, set: { type: 'string', multiple: true }, promote: { type: 'boolean' }, config: { type: 'string', default: CONFIG_FILE } },

  async run (values, terminal) {
    const email = String(values['email'] ?? '')
    if (email === '') return refuse(terminal, 'create-superuser needs --email', 2)
    if (values['promote'] === true && values['set'] !== undefined) return refuse(terminal, '--promote changes no field: leave out --set', 2)
    return await withConfig(values, terminal, async (config) => {
      const fields = readFields(values, config)
      if ('problem' in fields) return refuse(terminal, fields.problem, 2)
      try {
        return await withApplication(config, async ({ app }) => {
          await app.ready()
          const known = await app.users.getByEmail(email)
          return await (values['promote'] === true ? promote(app, known, email, terminal) : create(app, known, { email, ...fields.values }, terminal))
        })
      } catch (error) {
        return refuse(terminal, isUsersError(error) ? `${messageOf(error)} (${error.code})` : messageOf(error))
      }
    })
  }
}

async function create (app: FastifyInstance, known: User | null, values: Omit<NewUser, 'password'>, terminal: Terminal): Promise<ExitCode> {
  if (known !== null) return refuse(terminal, `${values.email} has a user; --promote makes it a superuser`)
  const password = await terminal.readSecret('Password: ')
  if (password === null) return refuse(terminal, terminal.interactive ? 'no password was given' : 'no password was piped in; on a terminal it is asked for')
  if (terminal.interactive && await terminal.readSecret('Again: ') !== password) return refuse(terminal, 'the passwords differ')
  const user = await app.users.create({ ...values, password, is_superuser: true, is_verified: true } as NewUser)     // create checks the fields
  terminal.print(`The superuser ${user.email} was made, with the id ${user.id}.`)
  return 0
}

async function promote (app: FastifyInstance, known: User | null, email: string, terminal: Terminal): Promise<ExitCode> {
  if (known === null) return refuse(terminal, `there is no user ${email}`)
  if (known.is_superuser && known.is_verified) {
    terminal.print(`${known.email} is a superuser already.`)
  } else {
    await app.users.update(known, { is_superuser: true, is_verified: true })
    terminal.print(`${known.email} is a superuser now.`)
  }
  if (!known.is_active) terminal.print('The user is not active, and cannot log in before is_active is true.')
  return 0
}

/** The custom fields of `--set`. */
function readFields (values: Values, { settings: { schemas } }: Config): { values: Record<string, unknown> } | { problem: string } {
  const { fields } = userModel(schemas)
  const names = Object.keys(schemas.fields)
  const read: Record<string, unknown> = {}
  for (const pair of Array.isArray(values['set']) ? values['set'].map(String) : []) {
    const end = pair.indexOf('=')
    const name = pair.slice(0, Math.max(end, 0))
    if (!names.includes(name)) return { problem: `--set takes FIELD=VALUE${names.length === 0 ? '; there are no custom fields' : `, with one of the fields ${names.join(', ')}`}` }
    const text = pair.slice(end + 1)
    try {
      read[name] = fields[name]?.type === 'text' ? text : JSON.parse(text)
    } catch {
      return { problem: `--set ${name}: the value is no JSON` }
    }
  }
  return { values: read }
}

function refuse (terminal: Terminal, problem: string, code: ExitCode = 1): ExitCode {
  terminal.complain(`fastify-users: ${problem}`)
  return code
}
