// Starts the application: `npm start`.
import { buildApp } from './app.js'
import { readConfig } from './config.js'
import { describeWalk, mailText } from './walk.js'

const { file, port, secret, captcha } = readConfig(process.env)
const app = await buildApp({
  file,
  secret,
  captcha,
  publicUrl: `http://localhost:${port}`, // the page /passkeys; browsers create none for IP addresses
  ...(process.env.NODE_ENV === 'production' ? {} : { mail: 'console' }), // shows mails at /dev/mail
  sendMail: (mail) => {
    console.log(mailText(app.listeningOrigin, mail))
  }
})

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => app.close())
await app.listen({ host: '127.0.0.1', port })
console.log(describeWalk(app.listeningOrigin, file))
