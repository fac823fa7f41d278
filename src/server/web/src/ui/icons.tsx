// The page's icons, drawn in line so that nothing has to be fetched for them.

const paths = {
  menu: "M4 7h16M4 12h16M4 17h16",
  plus: "M12 5v14M5 12h14",
  send: "M12 19V5M6 11l6-6 6 6",
  stop: "M7 7h10v10H7z",
  copy: "M9 9h10v11H9zM5 15V4h10",
  check: "M5 12.500l4.5 4.500L19 7.5",
  edit: "M4 20l1-4L16 5l3 3L8 19z",
  retry: "M19 12a7 7 0 1 1-2-5l2 2M19 4v5h-5",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  sliders: "M4 8h8M18 8h2M4 16h2M12 16h8M15 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6M9 13a3 3 0 1 0 0 6 3 3 0 0 0 0-6",
  shades: "M5 19V5M10 19V9M15 19v-6M20 19v-3",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8M12 2.500v2M12 19.500v2M2.5 12h2M19.5 12h2M5.3 5.300l1.4 1.400M17.3 17.300l1.4 1.400M5.3 18.700l1.4-1.400M17.3 6.700l1.4-1.4",
  moon: "M19.5 14.500A8 8 0 0 1 9.5 4.500a8 8 0 1 0 10 10z",
  help: "M9 9a3 3 0 1 1 4.2 2.800c-.8.4-1.2 1-1.2 1.900v.8M12 18v.2",
  close: "M6 6l12 12M18 6L6 18",
  down: "M12 5v14M6 13l6 6 6-6",
} as const;

export type IconName = keyof typeof paths;

export const Icon = ({ name }: { name: IconName }) => (
  <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
    <path d={paths[name]} />
  </svg>
);

interface IconButtonProps {
  icon: IconName;
  label: string;
  onClick: () => void;
  class?: string;
  pressed?: boolean;
  disabled?: boolean;
}

/** A button with an icon alone; its label is read out and shown on hover. */
export const IconButton = ({ icon, label, onClick, class: extra = "", pressed, disabled }: IconButtonProps) => (
  <button
    type="button"
    class={`icon-button ${extra}`}
    aria-label={label}
    title={label}
    aria-pressed={pressed}
    disabled={disabled}
    onClick={onClick}
  >
    <Icon name={icon} />
  </button>
);

export const Flame = () => (
  <svg class="flame" viewBox="0 0 24 24" aria-hidden="true">
    <path d="M12.6 1.500c.5 3.6-1 5.3-2.7 7.200C8.1 10.7 6 12.9 6 16a6.4 6.4 0 0 0 12.8 0c0-2.7-1.3-4.7-2.7-6.2-.2 1.5-.8 2.5-1.9 3.1.7-4.2-.1-8.3-1.6-11.400z" />
  </svg>
);
