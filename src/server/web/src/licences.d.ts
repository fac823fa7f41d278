// The address of the libraries' licences; vite.config.ts makes the module.
declare module "virtual:licences" {
  const address: string;
  export default address;
}
