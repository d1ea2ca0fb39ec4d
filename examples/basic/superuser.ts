// Makes a registered user a superuser: `node dist/examples/basic/superuser.js king.arthur@camelot.bt`.
import { buildApp } from './app.js'
import { readConfig } from './config.js'

const [, , email = ''] = process.argv
const app = await buildApp({ ...readConfig(process.env), sendMail () {} })
await app.ready()
const user = await app.users.getByEmail(email)
if (user !== null) await app.users.update(user, { is_superuser: true })
console.log(user === null ? `There is no user ${email}.` : `${email} is a superuser now.`)
await app.close()
